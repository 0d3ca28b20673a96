package runtime

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// slowStart is how long a start holds its place in a gate. One that hangs in
// the kernel must not keep the others out.
const slowStart = 30 * time.Second

// A gate lets as many in at once as the host has processors, and at least two,
// in the order in which they come.
type gate struct {
	places chan struct{}
	slow   time.Duration
}

func newGate() gate {
	return gate{places: make(chan struct{}, max(2, runtime.NumCPU())), slow: slowStart}
}

// enter waits for a place. The caller leaves; it has left by itself after a
// while.
func (g gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	free := sync.OnceFunc(func() { <-g.places })
	late := time.AfterFunc(g.slow, free)
	return func() { late.Stop(); free() }, nil
}
