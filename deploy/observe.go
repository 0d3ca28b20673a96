package deploy

import (
	"slices"

	"dray/pipeline"
	"dray/targets/api"
)

// Observed is what a host told, as plans need it.
func Observed(name string, env *api.Environment) pipeline.Observed {
	out := pipeline.Observed{Name: name, Current: env.Current, Drift: env.Drift}
	if d := env.Deployment; d != nil && d.Held != nil {
		out.Paused = d.ReleaseNumber()
	}
	for _, i := range env.Instances {
		if !i.Serving && i.ReleaseNumber() == env.Current.ReleaseNumber() {
			out.Idle = append(out.Idle, i.Instance)
		}
	}
	slices.Sort(out.Idle)
	return out
}
