package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

var (
	errLost  = errors.New("the lease has gone to somebody else")
	errOther = errors.New("something else is wanted")
)

func leased() error   { return nil }
func unleased() error { return errLost }

// acquired starts an operation that must start.
func acquired(t *testing.T, acquire func(context.Context, string, lessee) (context.Context, func(), error), holder lessee) (context.Context, func()) {
	t.Helper()
	ctx, end, err := acquire(t.Context(), "work", holder)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, end
}

func TestExclusiveOperationsFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o operations
		_, end := acquired(t, o.acquire, leased)
		started := make(chan func())
		for range 2 {
			go func() {
				_, end := acquired(t, o.acquire, nil)
				started <- end
			}()
		}
		synctest.Wait()
		select {
		case <-started:
			t.Fatal("a second one runs beside the first")
		default:
		}
		end()
		(<-started)()
		(<-started)()
	})
}

func TestWaitForExclusiveOperationEndsWithItsContext(t *testing.T) {
	var o operations
	_, end := acquired(t, o.acquire, nil)
	defer end()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOther)
	if _, _, err := o.acquire(ctx, "more", nil); !errors.Is(err, errOther) {
		t.Errorf("it waits for what runs: %v, want the cause of its context", err)
	}
}

func TestSharedOperationsWaitForNobody(t *testing.T) {
	var o operations
	_, end := acquired(t, o.acquire, nil)
	defer end()
	_, end = acquired(t, o.acquireShared, nil)
	defer end()
	_, end = acquired(t, o.acquireShared, leased)
	end()
}

func TestOperationsForHoldersNeedTheLease(t *testing.T) {
	var o operations
	for _, acquire := range []func(context.Context, string, lessee) (context.Context, func(), error){o.acquire, o.acquireShared} {
		if _, _, err := acquire(t.Context(), "work", unleased); !errors.Is(err, errLost) {
			t.Errorf("without the lease: %v, want its fault", err)
		}
	}
	o.drain(errOther) // nothing is left that it would wait for
	_, end := acquired(t, o.acquire, nil)
	end()
}

func TestLeaseIsAskedAfterTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o operations
		_, end := acquired(t, o.acquire, nil)
		holder := leased
		fault := make(chan error)
		go func() {
			_, _, err := o.acquire(t.Context(), "work", func() error { return holder() })
			fault <- err
		}()
		synctest.Wait()
		holder = unleased
		end()
		if err := <-fault; !errors.Is(err, errLost) {
			t.Errorf("after the wait: %v, want the fault of the lease", err)
		}
		_, end = acquired(t, o.acquire, nil) // it has left its place
		end()
	})
}

func TestInterruptCancelsWhatRunsForHolders(t *testing.T) {
	var o operations
	for _, c := range []struct {
		name      string
		acquire   func(context.Context, string, lessee) (context.Context, func(), error)
		holder    lessee
		cancelled bool
	}{
		{"exclusive, a holder's", o.acquire, leased, true},
		{"exclusive, the agent's", o.acquire, nil, false},
		{"shared, a holder's", o.acquireShared, leased, true},
		{"shared, the agent's", o.acquireShared, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, end := acquired(t, c.acquire, c.holder)
			defer end()
			o.interrupt(errOther)
			if got := context.Cause(ctx); (got != nil) != c.cancelled || c.cancelled && !errors.Is(got, errOther) {
				t.Errorf("cancelled by %v, want cancelled: %v", got, c.cancelled)
			}
		})
	}
}

func TestCancelledOperationKeepsItsPlace(t *testing.T) {
	var o operations
	_, end := acquired(t, o.acquire, leased)
	o.interrupt(errOther)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := o.acquire(ctx, "more", nil); err == nil {
		t.Error("the next one runs beside one that has not ended")
	}
	end()
	_, end = acquired(t, o.acquire, nil)
	end()
}

func TestDrainWaitsForWhatItCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o operations
		exclusive, end := acquired(t, o.acquire, leased)
		defer end()
		before, endBefore := acquired(t, o.acquireShared, nil)
		drained := make(chan struct{})
		go func() { o.drain(errOther); close(drained) }()
		<-before.Done()
		after, endAfter := acquired(t, o.acquireShared, leased)
		defer endAfter()
		synctest.Wait()
		select {
		case <-drained:
			t.Fatal("it did not wait for the end of what it cancelled")
		default:
		}
		endBefore()
		<-drained
		if exclusive.Err() != nil || after.Err() != nil {
			t.Errorf("cancelled: exclusive %v, one that started later %v; want neither", context.Cause(exclusive), context.Cause(after))
		}
	})
}
