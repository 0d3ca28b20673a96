package environment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dray/deploy"
	"dray/deploy/evidence"
	"dray/pipeline"
	"dray/targets/api"
)

// Evidence asks every host that has something of the release for its statement
// about it, and checks that with the key that is recorded for the host. A host whose key nobody has
// recorded yet is taken at the word of its SSH connection.
func (e *Environment) Evidence(ctx context.Context, r *pipeline.Release) (*pipeline.Evidence, error) {
	var mu sync.Mutex
	out := &pipeline.Evidence{Age: -1}
	var errs []error
	var group sync.WaitGroup
	for _, h := range e.fleet.Hosts() {
		if !h.Absent && len(r.PlacedOn(h.Name)) == 0 {
			continue // it has nothing of the release to swear about
		}
		group.Go(func() {
			age, fault, err := e.evidenceOf(ctx, h, r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, &deploy.HostError{Host: h.Name, Err: err})
			}
			if fault != "" {
				out.Faults = append(out.Faults, h.Name+": "+fault)
			}
			if out.Age < 0 || age < out.Age {
				out.Age = age
			}
		})
	}
	group.Wait()
	slices.Sort(out.Faults)
	out.Age = max(out.Age, 0)
	return out, errors.Join(errs...)
}

// evidenceOf is what one host swears: for how long the release has been healthy
// there, or what is wrong with the statement.
func (e *Environment) evidenceOf(ctx context.Context, h *deploy.Host, r *pipeline.Release) (age time.Duration, fault string, err error) {
	if h.Absent {
		return 0, "dray was never there", nil
	}
	facts, err := h.Client.Host(ctx)
	if err != nil {
		return 0, "", err
	}
	envelope, err := e.on(h).Evidence(ctx, r.ReleaseNumber())
	if err != nil {
		var refused *api.Error
		if errors.As(err, &refused) && refused.Code == api.CodeNotFound {
			return 0, fmt.Sprintf("it swears nothing about release %s", r.ReleaseNumber()), nil
		}
		return 0, "", err
	}
	key := e.opener.AgentKey(h.Name)
	if key == nil {
		key = facts.PublicKey
	}
	p, err := evidence.Check(envelope, key, evidence.Want{Project: e.opener.Project.Name, Environment: e.env.Name, Host: h.Name, Release: r})
	if err != nil {
		return 0, err.Error(), nil //nolint:nilerr // evidence that does not hold is an answer
	}
	return facts.Now.Sub(p.Since()), "", nil
}
