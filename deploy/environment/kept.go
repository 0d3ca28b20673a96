package environment

import (
	"context"
	"errors"
	"slices"
	"sync"

	"dray/deploy"
	"dray/pipeline"
	"dray/targets/api"
)

// Releases returns the stable releases that all hosts keep, newest first.
func (e *Environment) Releases(ctx context.Context) ([]pipeline.Release, error) {
	var mu sync.Mutex
	count := map[string]int{} // by content: what differs between hosts is kept on none
	byContent := map[string]pipeline.Release{}
	var group sync.WaitGroup
	var errs []error
	for _, h := range e.fleet.Hosts() {
		group.Go(func() {
			kept, err := e.on(h).Releases(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, &deploy.HostError{Host: h.Name, Err: err})
			}
			for _, r := range kept {
				key := r.ReleaseNumber().String() + " " + r.ContentHash()
				count[key]++
				byContent[key] = r
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out []pipeline.Release
	for key, n := range count {
		if n == len(e.fleet.Hosts()) {
			out = append(out, byContent[key])
		}
	}
	slices.SortFunc(out, func(a, b pipeline.Release) int { return b.ReleaseNumber().Compare(a.ReleaseNumber()) })
	return out, nil
}

// Before finds, in the first host's history, what ran before a release came.
func (e *Environment) Before(ctx context.Context, n pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error) {
	h := e.fleet.Hosts()[0]
	records, err := e.on(h).History(ctx, 0)
	if err != nil {
		return pipeline.ReleaseNumber{}, &deploy.HostError{Host: h.Name, Err: err}
	}
	for _, r := range records { // newest first
		if r.ReleaseNumber() == n && r.Result == api.StateConfirmed && r.Kind != pipeline.KindRollback && r.FromNumber() != n {
			return r.FromNumber(), nil
		}
	}
	return pipeline.ReleaseNumber{}, nil
}
