package run

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
	"dray/pipeline/event"
)

// Build builds the named targets side by side. A target whose contexts name
// another one ("target:base") waits for it; what was built is returned for the
// named ones alone.
func (r *Runner) Build(ctx context.Context, names ...string) (Built, error) {
	order, err := r.withNeeds(names)
	if err != nil || len(order) == 0 {
		return Built{}, err
	}
	group, ctx := errgroup.WithContext(ctx)
	b := &builds{runner: r, done: map[string]chan struct{}{}, built: Built{}, slots: make(chan struct{}, cmp.Or(r.Parallel, 2))}
	for _, name := range order {
		b.done[name] = make(chan struct{})
	}
	for _, name := range order {
		group.Go(func() error { return b.build(ctx, r.Project.Targets[name]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	maps.DeleteFunc(b.built, func(name string, _ pipeline.ReleaseImage) bool { return !slices.Contains(names, name) })
	return b.built, nil
}

// builds is one run of Build.
type builds struct {
	runner *Runner
	done   map[string]chan struct{} // closed when a target was built
	slots  chan struct{}

	mu    sync.Mutex
	built Built
}

func (b *builds) build(ctx context.Context, target *pipeline.Target) error {
	for _, need := range target.Needs() {
		select {
		case <-b.done[need]:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	b.mu.Lock()
	ready := maps.Clone(b.built)
	b.mu.Unlock()
	image, err := stage(b.runner.Sink, "build", target.Name, func(sink event.Sink) (pipeline.ReleaseImage, error) {
		image, err := b.runner.Builder.Build(ctx, target, ready, sink)
		return image, givenUp(ctx, err)
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.built[target.Name] = image
	b.mu.Unlock()
	close(b.done[target.Name])
	return nil
}

// withNeeds adds what the named targets need, and refuses circles.
func (r *Runner) withNeeds(names []string) ([]string, error) {
	const visiting, visited = 1, 2
	state := map[string]int{}
	var order []string
	var visit func(name string) error
	visit = func(name string) error {
		target := r.Project.Targets[name]
		switch {
		case target == nil:
			return fmt.Errorf("no target %q; declared: %s", name, strings.Join(slices.Sorted(maps.Keys(r.Project.Targets)), ", "))
		case state[name] == visiting:
			return fmt.Errorf("target %s needs itself", name)
		case state[name] == visited:
			return nil
		}
		state[name] = visiting
		for _, need := range target.Needs() {
			if err := visit(need); err != nil {
				return err
			}
		}
		state[name] = visited
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}
