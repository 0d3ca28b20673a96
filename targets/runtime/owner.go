package runtime

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// An owner runs what goes on in the background for as long as its run does,
// and waits for it. Work that is given to it before runs once it does.
type owner struct {
	mu      sync.Mutex
	pending []func(context.Context)
	wake    chan struct{}
}

// spawn hands work over. It must end when its context does.
func (o *owner) spawn(work func(context.Context)) {
	o.mu.Lock()
	o.pending = append(o.pending, work)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (o *owner) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for {
		o.mu.Lock()
		pending := o.pending
		o.pending = nil
		o.mu.Unlock()
		for _, work := range pending {
			group.Go(func() error {
				work(ctx)
				return nil
			})
		}
		select {
		case <-ctx.Done():
			return group.Wait()
		case <-o.wake:
		}
	}
}
