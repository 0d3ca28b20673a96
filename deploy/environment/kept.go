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

// Releases returns the stable releases that the hosts keep together, newest
// first: one that some host keeps, and no other host keeps otherwise under the
// same name. What a host lacks of it, the others have.
func (e *Environment) Releases(ctx context.Context) ([]pipeline.Kept, error) {
	var mu sync.Mutex
	on := map[string][]pipeline.Release{} // by host
	var group sync.WaitGroup
	var errs []error
	for _, h := range e.fleet.Hosts() {
		group.Go(func() {
			kept, err := e.on(h).Releases(ctx)
			if isNotFound(err) {
				kept, err = nil, nil // nothing ever ran there
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, &deploy.HostError{Host: h.Name, Err: err})
			}
			on[h.Name] = kept
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return together(on), nil
}

// together joins what hosts keep.
func together(on map[string][]pipeline.Release) []pipeline.Kept {
	found := map[pipeline.ReleaseNumber]*pipeline.Kept{}
	hosts, disputed := map[pipeline.ReleaseNumber][]string{}, map[pipeline.ReleaseNumber]bool{}
	for _, host := range sortedKeys(on) {
		for _, r := range on[host] {
			n := r.ReleaseNumber()
			if found[n] == nil {
				found[n] = &pipeline.Kept{Release: r}
			}
			disputed[n] = disputed[n] || found[n].ContentHash() != r.ContentHash()
			hosts[n] = append(hosts[n], host)
		}
	}
	var out []pipeline.Kept
	for n, k := range found {
		if disputed[n] {
			continue
		}
		k.Lacking = slices.DeleteFunc(sortedKeys(on), func(h string) bool { return slices.Contains(hosts[n], h) })
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b pipeline.Kept) int { return b.ReleaseNumber().Compare(a.ReleaseNumber()) })
	return out
}

func isNotFound(err error) bool {
	var refused *api.Error
	return errors.As(err, &refused) && refused.Code == api.CodeNotFound
}

// Before finds, in the hosts' histories, what ran before a release came. A host
// that is new knows nothing of it; the first by name that does is believed.
func (e *Environment) Before(ctx context.Context, n pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error) {
	for _, h := range e.fleet.Hosts() {
		records, err := e.on(h).History(ctx, 0)
		if err != nil && !isNotFound(err) {
			return pipeline.ReleaseNumber{}, &deploy.HostError{Host: h.Name, Err: err}
		}
		for _, r := range records { // newest first
			if r.ReleaseNumber() == n && r.Result == api.StateConfirmed && r.Kind != pipeline.KindRollback && r.FromNumber() != n && r.FromNumber().Known() {
				return r.FromNumber(), nil
			}
		}
	}
	return pipeline.ReleaseNumber{}, nil
}
