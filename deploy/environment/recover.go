package environment

import (
	"context"
	"time"

	"dray/deploy"
	"dray/pipeline"
	"dray/targets/api"
)

// HeldOn is the deployment that hosts hold, if they do.
func HeldOn(seen map[string]*api.Environment) *api.Deployment {
	for _, host := range sortedKeys(seen) {
		if d := seen[host].Deployment; d != nil && d.Held != nil {
			return d
		}
	}
	return nil
}

// Recovery asks for Recover.
type Recovery struct {
	Wait time.Duration // for the lease of a deployer that may live
	// Abort answers whether the deployment with that id, which is held, may be
	// taken back.
	Abort func(id string) bool
	// Secrets finds values of a release's secrets, by version; hosts that have
	// them need none.
	Secrets func(ctx context.Context, versions map[string]string) (map[string]string, error)
}

// Recovered says what Recover found and did.
type Recovered struct {
	*deploy.Recovery
	Brought *pipeline.Deployed // to the hosts that were behind; nil: none was
}

// Recover finishes what a deployment that died left in doubt, and brings the
// newest confirmed release to the hosts that have gone back from it: it was
// decided, and only its confirmation did not reach them.
func (e *Environment) Recover(ctx context.Context, o Recovery) (*Recovered, error) {
	found, err := e.fleet.Recover(ctx, e.opener.Actor, o.Wait, o.Abort)
	if err != nil || len(found.Behind) == 0 {
		return &Recovered{Recovery: found}, err
	}
	release := *found.Newest
	release.By = e.opener.Actor
	values, err := o.Secrets(ctx, release.Secrets)
	if err != nil {
		return nil, err
	}
	done, err := e.Deploy(ctx, pipeline.Deployment{
		Kind: pipeline.KindRecover, Release: release, Secrets: values, Origin: e.env.Name,
		Continue: func(context.Context, string) error { return nil }, // all had agreed on it
	})
	return &Recovered{Recovery: found, Brought: done}, err
}
