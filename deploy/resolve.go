package deploy

import (
	"context"
	"slices"
	"sync"

	"dray/pipeline"
	"dray/targets/api"
)

// Placer says which host runs which instances of a release, given where those
// are that run now. A release that ran before has the places that it had then.
type Placer func(r *pipeline.Release, now map[string][]string) (map[string][]string, error)

// Preview returns the release as it would be brought now: under which name, and
// where to. Only under a lease that is certain.
func (f *Fleet) Preview(ctx context.Context, r pipeline.Release, place Placer) (pipeline.Release, error) {
	seen, err := f.Observe(ctx)
	if err != nil {
		return r, err
	}
	return f.resolve(ctx, seen, r, place)
}

// resolve fills in what only the hosts know: where the release's instances go,
// and its name. A release that ran before keeps its images, its configuration and
// its secrets, but its places are those of the hosts that there are today; where
// that makes another content of it, it gets another revision. Without a placer it
// stays as it is.
func (f *Fleet) resolve(ctx context.Context, seen map[string]*api.Environment, r pipeline.Release, place Placer) (pipeline.Release, error) {
	previous := f.previous(seen)
	last := 0
	for _, env := range seen {
		last = max(last, env.LastNumber)
	}
	r.Project, r.Environment = f.Project, f.Environment
	if place == nil {
		return r, nil
	}
	ran, content := r.Placement != nil, r.ContentHash()
	var err error
	if r.Placement, err = place(&r, previous); err != nil {
		return r, err
	}
	switch {
	case r.Number == 0:
		r.Number = last + 1 // nobody has that one
	case ran && r.ContentHash() == content: // its name says it already
	default:
		r.Revision, err = f.revision(ctx, seen, r)
	}
	return r, err
}

// previous says which host runs which instances. A host that missed the newest
// release may claim an instance that went elsewhere meanwhile: the newest
// release's word counts.
func (f *Fleet) previous(seen map[string]*api.Environment) map[string][]string {
	names := slices.DeleteFunc(sortedKeys(seen), func(name string) bool { return seen[name].Current == nil })
	slices.SortStableFunc(names, func(a, b string) int {
		return seen[b].Current.ReleaseNumber().Compare(seen[a].Current.ReleaseNumber())
	})
	out, claimed := map[string][]string{}, map[string]bool{}
	claim := func(host string, instances []string) {
		if _, told := out[host]; told {
			return
		}
		free := slices.DeleteFunc(slices.Clone(instances), func(i string) bool { return claimed[i] })
		for _, i := range free {
			claimed[i] = true
		}
		out[host] = free
	}
	for _, name := range names {
		claim(name, seen[name].Current.Placement[name])
		for _, skipped := range f.Skipped { // what is there is told by the others
			claim(skipped, seen[name].Current.Placement[skipped])
		}
	}
	return out
}

// revision chooses the revision under which a release comes whose number was
// given elsewhere: that of the same content, if it came before; otherwise one
// that no host has seen, so that a name never means two things.
func (f *Fleet) revision(ctx context.Context, seen map[string]*api.Environment, r pipeline.Release) (int, error) {
	if n, same := r.RunsEverywhere(currents(seen)); same && n.Number == r.Number {
		return n.Revision, nil
	}
	var mu sync.Mutex
	var known [][]string
	err := f.each(ctx, func(ctx context.Context, h *Host) error {
		if h.Absent {
			return nil
		}
		contents, err := f.on(h).Revisions(ctx, r.Number)
		if isCode(err, api.CodeNotFound) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		known = append(known, contents)
		return err
	})
	return revisionOf(r.ContentHash(), known), err
}

// revisionOf chooses among what the hosts know: by host, contents by revision.
func revisionOf(content string, known [][]string) int {
	next := 0
	for _, contents := range known {
		next = max(next, len(contents))
	}
	for n := next - 1; n >= 0; n-- {
		var came []string
		for _, contents := range known {
			if n < len(contents) && contents[n] != "" {
				came = append(came, contents[n])
			}
		}
		// Hosts that were left out of each other's deployments can disagree.
		if slices.Contains(came, content) && !slices.ContainsFunc(came, func(c string) bool { return c != content }) {
			return n
		}
	}
	return next
}

// currents returns what the hosts have confirmed.
func currents(seen map[string]*api.Environment) []*pipeline.Release {
	out := make([]*pipeline.Release, 0, len(seen))
	for _, name := range sortedKeys(seen) {
		out = append(out, seen[name].Current)
	}
	return out
}
