package assembly

import (
	"dray/targets/agent/access"
	"dray/targets/runtime"
)

// Environments finds the environments of containers.
func (h *Host) Environments() access.Containers { return environments{h.Engine} }

// environments reads them from the labels that the agent gives its containers.
type environments struct{ engine *runtime.Engine }

// OfContainer implements access.Containers. What can't be found is nobody's.
func (e environments) OfContainer(id string) (project, environment string) {
	c, err := e.engine.Get(id)
	if err != nil {
		return "", ""
	}
	return c.Spec.Labels[runtime.LabelProject], c.Spec.Labels[runtime.LabelEnvironment]
}

// OfExec implements access.Containers.
func (e environments) OfExec(id string) (project, environment string) {
	x, err := e.engine.ExecInspect(id)
	if err != nil {
		return "", ""
	}
	return e.OfContainer(x.ContainerID)
}
