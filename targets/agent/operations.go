package agent

import (
	"context"
	"fmt"
	"sync"
)

// operations are the rules of who may work on one environment beside whom:
//
//   - One exclusive operation runs at a time. The next one waits for its end,
//     for as long as its context lasts.
//   - Shared operations, such as draining and tasks, run beside the exclusive
//     one and beside each other. They wait for nobody.
//   - An operation for a holder starts only while the lease is the holder's. It
//     is asked before the wait and after it: the lease may end meanwhile.
//   - interrupt cancels the operations for holders, of both kinds: the lease has
//     ended, or the holder wants something else. What the agent does by itself
//     goes on. An operation that is cancelled keeps its place until it has ended.
//   - drain cancels the shared operations that run, for whomever, and waits for
//     their end. One that starts meanwhile is not waited for: it finds in the
//     journal what the caller has written there before.
//
// The zero value is ready.
type operations struct {
	mu        sync.Mutex
	exclusive *operation // nil: none runs
	shared    map[*operation]struct{}
}

// operation is one that runs.
type operation struct {
	name      string
	forHolder bool
	cancel    context.CancelCauseFunc
	ended     chan struct{} // closed at its end
}

// lessee returns nil while whom an operation works for has the lease. A nil
// lessee is the agent itself, which needs none.
type lessee func() error

// acquire waits until no exclusive operation runs, and starts one. It ends when
// end is called; ctx ends before, with a cause, when it is interrupted.
func (o *operations) acquire(ctx context.Context, name string, holder lessee) (_ context.Context, end func(), err error) {
	if err := holder.check(); err != nil {
		return nil, nil, err
	}
	for {
		o.mu.Lock()
		running := o.exclusive
		if running == nil {
			break
		}
		o.mu.Unlock()
		select {
		case <-running.ended:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("waiting for %s to end: %w", running.name, context.Cause(ctx))
		}
	}
	ctx, op := newOperation(ctx, name, holder)
	o.exclusive = op
	o.mu.Unlock()
	return o.started(ctx, op, holder)
}

// acquireShared starts a shared operation.
func (o *operations) acquireShared(ctx context.Context, name string, holder lessee) (_ context.Context, end func(), err error) {
	ctx, op := newOperation(ctx, name, holder)
	o.mu.Lock()
	if o.shared == nil {
		o.shared = map[*operation]struct{}{}
	}
	o.shared[op] = struct{}{}
	o.mu.Unlock()
	return o.started(ctx, op, holder)
}

// started asks for the lease once interrupt finds the operation: a lease that
// ends from here on cancels it.
func (o *operations) started(ctx context.Context, op *operation, holder lessee) (context.Context, func(), error) {
	if err := holder.check(); err != nil {
		o.end(op)
		return nil, nil, err
	}
	return ctx, func() { o.end(op) }, nil
}

// interrupt cancels the operations that run for holders.
func (o *operations) interrupt(cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.exclusive != nil && o.exclusive.forHolder {
		o.exclusive.cancel(cause)
	}
	for op := range o.shared {
		if op.forHolder {
			op.cancel(cause)
		}
	}
}

// drain cancels the shared operations that run, and waits for their end.
func (o *operations) drain(cause error) {
	var ending []chan struct{}
	o.mu.Lock()
	for op := range o.shared {
		op.cancel(cause)
		ending = append(ending, op.ended)
	}
	o.mu.Unlock()
	for _, ended := range ending {
		<-ended
	}
}

func newOperation(ctx context.Context, name string, holder lessee) (context.Context, *operation) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &operation{name: name, forHolder: holder != nil, cancel: cancel, ended: make(chan struct{})}
}

func (o *operations) end(op *operation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.exclusive == op {
		o.exclusive = nil
	}
	delete(o.shared, op)
	op.cancel(nil)
	close(op.ended)
}

func (l lessee) check() error {
	if l == nil {
		return nil
	}
	return l()
}
