package environment

import (
	"context"
	"slices"

	"dray/deploy"
	"dray/pipeline"
)

// TaskHost connects to the host that a task of an environment runs on: the one
// that its schedule and its hooks use. The release that runs says which; where
// none runs, or no host can tell, it is the first by name.
func (o *Opener) TaskHost(ctx context.Context, env *pipeline.Environment, task string) (*deploy.Host, error) {
	names := slices.Sorted(slices.Values(env.Hosts))
	at := names[0]
	for _, name := range names {
		h, err := o.Reach(ctx, env.Name, name)
		if err != nil {
			continue
		}
		state, err := h.Client.Environment(o.Project.Name, env.Name).Get(ctx)
		if err != nil || state.Current == nil {
			continue
		}
		if host := state.Current.TaskHost(task); slices.Contains(names, host) {
			at = host
		}
		break
	}
	h, err := o.Reach(ctx, env.Name, at)
	if err != nil {
		return nil, &deploy.HostError{Host: at, Err: err}
	}
	return h, nil
}
