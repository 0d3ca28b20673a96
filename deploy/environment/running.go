package environment

import (
	"context"

	"dray/deploy"
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
	if p := e.env.Promotion; p != nil && p.PreventSelfApproval {
		if out.Asking, err = e.asking(ctx); err != nil {
			return nil, err
		}
	}
	if out.Release == nil {
		out.Differ = nil // nothing ran yet, and all agree on that
	}
	return out, nil
}

// asking is whom the hosts take this client for. An agent that is older than
// identities takes it for nobody.
func (e *Environment) asking(ctx context.Context) ([]pipeline.Actor, error) {
	var out []pipeline.Actor
	for _, h := range e.fleet.Hosts() {
		if h.Absent {
			continue
		}
		actor, err := h.Client.Identity(ctx)
		switch {
		case isNotFound(err):
			actor = &pipeline.Actor{}
		case err != nil:
			return nil, &deploy.HostError{Host: h.Name, Err: err}
		}
		out = append(out, *actor)
	}
	return out, nil
}
