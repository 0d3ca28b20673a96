package environment

import (
	"context"
	"slices"

	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/targets/api"
)

// Frozen is what hosts say of the lock of an environment.
type Frozen struct {
	Freezes []*api.Freeze // of those that have one
	Missed  Silent        // could not be asked
	Absent  Silent        // dray was never there, so no lock can be
}

// Frozen asks all hosts for their lock. One machine under two names is refused.
func (o *Opener) Frozen(ctx context.Context, env *pipeline.Environment) (Frozen, error) {
	type told struct {
		freeze *api.Freeze
		key    string
	}
	answers, missed, err := Ask(ctx, o, env, func(ctx context.Context, h *deploy.Host) (told, error) {
		facts, err := h.Client.Host(ctx)
		if err != nil {
			return told{}, err
		}
		state, err := h.Client.Environment(o.Project.Name, env.Name).Get(ctx)
		if isNotFound(err) {
			state, err = &api.Environment{}, nil // nothing ever ran there, and no lock is on
		}
		if err != nil {
			return told{}, err
		}
		return told{state.Freeze, string(facts.PublicKey)}, nil
	})
	if err != nil {
		return Frozen{}, err
	}
	out, keys := Frozen{Missed: missed}, map[string]string{}
	for _, a := range answers {
		keys[a.Host.Name] = a.Value.key
		if a.Value.freeze != nil {
			out.Freezes = append(out.Freezes, a.Value.freeze)
		}
	}
	for _, name := range env.Hosts {
		if keys[name] == "" && !slices.Contains(missed.Names(), name) {
			out.Absent = append(out.Absent, &deploy.HostError{Host: name, Err: ssh.ErrAbsent})
		}
	}
	return out, oneName(env.Name, keys)
}
