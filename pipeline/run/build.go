package run

import (
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

// Build builds the targets, or all of them, side by side. A target whose
// contexts name another one ("target:base") waits for it. What was built is
// returned for the named ones and for those that they needed.
func (r *Runner) Build(ctx context.Context, names ...string) (Built, error) {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(r.Project.Targets))
	}
	order, err := r.withNeeds(names)
	if err != nil || len(order) == 0 {
		return Built{}, err
	}
	group, ctx := errgroup.WithContext(ctx)
	b := &builds{runner: r, done: map[string]chan struct{}{}, built: Built{}, slots: make(chan struct{}, max(r.Parallel, 2))}
	for _, name := range order {
		b.done[name] = make(chan struct{})
	}
	for _, name := range order {
		group.Go(func() error { return b.build(ctx, r.Project.Targets[name]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
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
	for _, need := range needs(target) {
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
		for _, need := range needs(target) {
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

// needs lists the targets that a target's contexts name.
func needs(t *pipeline.Target) []string {
	var out []string
	for _, value := range t.Contexts {
		if name, ok := strings.CutPrefix(value, "target:"); ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
