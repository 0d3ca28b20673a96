package environment

import (
	"context"

	"dray/pipeline"
	"dray/targets/api"
)

// Observe reads what every host knows of the environment, by host.
func (e *Environment) Observe(ctx context.Context) (map[string]*api.Environment, error) {
	return e.fleet.Observe(ctx)
}

// Running reads the release that the hosts have confirmed.
func (e *Environment) Running(ctx context.Context) (*pipeline.Running, error) {
	seen, err := e.fleet.Observe(ctx)
	if err != nil {
		return nil, err
	}
	out := &pipeline.Running{}
	for _, name := range e.fleet.Names() {
		env := seen[name]
		if env.Current == nil || env.Deployment != nil || (out.Release != nil && env.Current.ReleaseNumber() != out.Release.ReleaseNumber()) {
			out.Differ = append(out.Differ, name)
		}
		if d := env.Deployment; d != nil && d.Held != nil {
			out.Paused = d.ReleaseNumber()
		}
		if env.Current.ReleaseNumber().Compare(out.Release.ReleaseNumber()) > 0 {
			out.Release = env.Current
		}
		if env.Freeze != nil {
			out.Locked = env.Freeze.Text(e.env.Name)
		}
		out.Approvals = append(out.Approvals, env.Approvals...)
	}
	if out.Release == nil {
		out.Differ = nil // nothing ran yet, and all agree on that
	}
	return out, nil
}
