package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dray/pipeline/event"
	"dray/targets/api"
)

const (
	// DefaultLease is for how long a host waits for its deployer's next sign
	// of life. It is renewed four times in that time.
	DefaultLease = 20 * time.Second
	// leasePause is how long the client waits before it asks for a lease again.
	leasePause = 250 * time.Millisecond
	// A deployment's end is spoken on a context that outlives its
	// cancellation, bounded by this.
	cleanupTime = 2 * time.Minute
)

var errLeaseLost = errors.New("the lease was lost")

// lease is the right to change the environment, on every host. Hosts number
// their fences by themselves.
type lease struct {
	fleet  *Fleet
	fences map[string]uint64
	stop   context.CancelCauseFunc // of the work that it is held for
	ended  chan struct{}           // closed by release
	done   chan struct{}           // closed when keep has returned
}

// acquire takes the lease on all hosts, and waits for up to wait while another
// holder has it on one of them.
func (f *Fleet) acquire(ctx context.Context, holder api.Actor, wait time.Duration) (context.Context, *lease, error) {
	deadline := time.Now().Add(wait)
	for told := false; ; told = true {
		l := &lease{fleet: f, fences: map[string]uint64{}}
		err := l.take(ctx, holder)
		if err == nil {
			held, stop := context.WithCancelCause(ctx)
			l.stop, l.ended, l.done = stop, make(chan struct{}), make(chan struct{})
			go l.keep(context.WithoutCancel(ctx)) // ended by release, which waits for it
			return held, l, nil
		}
		l.release(ctx)
		if !isCode(err, api.CodeLocked) || time.Now().After(deadline) {
			return nil, nil, err
		}
		if !told {
			f.sink.Emit(event.Event{Type: event.Notice, Text: "waiting for up to " + wait.String() + ": " + err.Error()})
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(leasePause):
		}
	}
}

// take asks all hosts for the lease. The first host by name is asked first: of
// two deployers one is refused there, and holds nothing.
func (l *lease) take(ctx context.Context, holder api.Actor) error {
	f := l.fleet
	id := newID()
	var mu sync.Mutex
	take := func(ctx context.Context, h *Host) error {
		var got *api.Lease
		err := f.retry(ctx, h, func(ctx context.Context) (err error) {
			got, err = f.on(h).AcquireLease(ctx, api.AcquireLease{Holder: holder, TTL: seconds(f.lease), ID: id})
			return err
		})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		l.fences[h.Name] = got.Fence
		return nil
	}
	names := f.Names()
	if err := f.eachOf(ctx, names[:1], take); err != nil {
		return err
	}
	return f.eachOf(ctx, names[1:], take)
}

// keep renews the lease until release, also while a deployment that was
// interrupted goes back. A host that can't be renewed for a whole TTL ends the
// deployment: its agent will go back by itself.
func (l *lease) keep(ctx context.Context) {
	defer close(l.done)
	ttl := l.fleet.lease
	tick := time.NewTicker(ttl / 4)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-l.ended:
			return
		case <-tick.C:
		}
		bounded, cancel := context.WithTimeout(ctx, ttl/4)
		err := l.renew(bounded, ttl)
		cancel()
		switch {
		case err == nil:
			last = time.Now()
		case isCode(err, api.CodeFenced) || time.Since(last) > ttl:
			l.stop(fmt.Errorf("%w: %w", errLeaseLost, err)) // only the first time counts
		}
	}
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func (l *lease) renew(ctx context.Context, ttl time.Duration) error {
	return l.fleet.each(ctx, func(ctx context.Context, h *Host) error {
		_, err := l.fleet.on(h).RenewLease(ctx, api.RenewLease{Fence: l.fences[h.Name], TTL: seconds(ttl)})
		return err
	})
}

// release gives the lease back where it was taken. A host that can't be told
// ends it by itself.
func (l *lease) release(ctx context.Context) {
	if l.stop != nil {
		l.stop(nil)
		close(l.ended)
		<-l.done
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = l.fleet.eachOf(ctx, sortedKeys(l.fences), func(ctx context.Context, h *Host) error {
		return l.fleet.on(h).ReleaseLease(ctx, l.fences[h.Name])
	})
}
