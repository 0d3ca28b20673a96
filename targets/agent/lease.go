package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/targets/agent/journal"
	"dray/targets/api"
)

const (
	shortestTTL = 2 * time.Second
	longestTTL  = 300 * time.Second
)

// errLeaseEnded is the cause with which the work of a holder that went away is
// cancelled.
var errLeaseEnded = errors.New("the lease has ended")

// lease is a lease in memory. Its times are on the monotonic clock, so that
// setting the host's clock neither ends nor lengthens it.
type lease struct {
	journal.Lease
	renewed time.Time
	// confirmIn bounds the time since the last renewal from the moment at
	// which a deployment starts to change what serves; zero before.
	confirmIn time.Duration
}

func (l *lease) end() time.Time {
	ttl := l.TTL
	if l.confirmIn > 0 {
		ttl = min(ttl, l.confirmIn)
	}
	return l.renewed.Add(ttl)
}

func (l *lease) live() bool { return l != nil && time.Now().Before(l.end()) }

// wire returns the lease as callers see it.
func (l *lease) wire() *api.Lease {
	end := l.end()
	return &api.Lease{
		Fence: l.Fence, Holder: l.Holder, Since: l.Since,
		Until: end.Round(0), Seconds: time.Until(end).Seconds(),
	}
}

// acquire gives the right to change the environment to one holder.
func (a *Agent) acquire(e *environment, req api.AcquireLease) (*api.Lease, error) {
	ttl, err := leaseTTL(req.TTL)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var got *lease
	err = a.change(e, "lease.acquire", func(_ *journal.Tx, r *journal.Environment) error {
		if err := frozen(r); err != nil {
			return err
		}
		now := time.Now()
		got = &lease{renewed: now, Lease: journal.Lease{
			Fence: max(r.Fence+1, req.Fence), Holder: req.Holder, ID: req.ID,
			Since: now.Round(0), TTL: ttl, Until: now.Add(ttl).Round(0),
		}}
		if e.lease.live() {
			if req.ID == "" || req.ID != e.lease.ID {
				return lockedBy(e)
			}
			got.Fence, got.Since = max(e.lease.Fence, req.Fence), e.lease.Since
			got.confirmIn = e.lease.confirmIn
		}
		r.Fence, r.Lease = got.Fence, &got.Lease
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.lease = got
	a.wake()
	return got.wire(), nil
}

func leaseTTL(seconds int) (time.Duration, error) {
	ttl := time.Duration(seconds) * time.Second
	if ttl < shortestTTL || ttl > longestTTL {
		return 0, api.Errorf(api.CodeBadRequest, "a lease of %d seconds is outside of %.0f to %.0f", seconds, shortestTTL.Seconds(), longestTTL.Seconds())
	}
	return ttl, nil
}

// frozen returns the fault of a freeze that is on.
func frozen(r *journal.Environment) error {
	f := r.Freeze
	if f == nil || (!f.Until.IsZero() && !time.Now().Before(f.Until)) {
		return nil
	}
	err := api.Errorf(api.CodeLocked, "%s of %s is locked by %s on %s: %s", r.Name, r.Project, f.By.Who(), f.By.Machine, f.Reason)
	err.Freeze = f
	return err
}

// lockedBy returns the fault of a lease that someone else holds.
func lockedBy(e *environment) error {
	l := e.lease.wire()
	err := api.Errorf(api.CodeLocked, "%s of %s is being changed by %s on %s (%s) since %s; the lease ends at %s unless renewed",
		e.name, e.project, l.Holder.Who(), l.Holder.Machine, l.Holder.Command,
		l.Since.Format(time.TimeOnly), l.Until.Format(time.TimeOnly))
	err.Lease = l
	return err
}

// renew keeps a lease for another TTL.
func (a *Agent) renew(e *environment, req api.RenewLease) (*api.Lease, error) {
	ttl, err := leaseTTL(req.TTL)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.heldLocked(req.Fence); err != nil {
		return nil, err
	}
	next := *e.lease
	next.renewed = time.Now()
	next.TTL, next.Until = ttl, next.renewed.Add(ttl).Round(0)
	err = a.change(e, "lease.renew", func(_ *journal.Tx, r *journal.Environment) error {
		r.Lease = &next.Lease
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.lease = &next
	a.wake()
	return next.wire(), nil
}

// releaseLease gives a lease back. A deployment that it leaves open is settled
// as if the lease had ended. One that has ended already is no fault.
func (a *Agent) releaseLease(e *environment, fence uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lease == nil || e.lease.Fence != fence {
		return nil
	}
	e.lease.TTL = 0
	a.wake()
	return a.change(e, "lease.release", func(_ *journal.Tx, r *journal.Environment) error {
		r.Lease = nil
		return nil
	})
}

// holder is whoever has the lease of this number.
func (e *environment) holder(fence uint64) lessee {
	return func() error { return e.held(fence) }
}

// held returns a fault unless fence is the number of the lease that is live.
func (e *environment) held(fence uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heldLocked(fence)
}

func (e *environment) heldLocked(fence uint64) error {
	if e.lease.live() && e.lease.Fence == fence {
		return nil
	}
	err := api.Errorf(api.CodeFenced, "the lease %d of %s in %s has ended; nothing more is done for it", fence, e.name, e.project)
	if e.lease.live() {
		err.Lease = e.lease.wire()
	}
	return err
}

// boundByConfirm ends the lease confirmIn after its last renewal, if that is
// sooner: from now on the deployment changes what serves.
func (a *Agent) boundByConfirm(e *environment, confirmIn time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lease != nil {
		e.lease.confirmIn = confirmIn
		a.wake()
	}
}

// resumeLease brings a lease back after a restart of the agent. The monotonic
// clock of before is lost, so the wall clock decides, but never for longer
// than one TTL from now: a clock that was set back can't keep a dead holder's
// lease alive, one set forward ends it early, which only costs a revert.
func (e *environment) resumeLease(r *journal.Lease) {
	if r == nil {
		return
	}
	now := time.Now()
	left := min(r.Until.Sub(now.Round(0)), r.TTL)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lease = &lease{Lease: *r, renewed: now.Add(left - r.TTL)}
}

// watchLeases reconciles the environment of every lease that ends. It returns
// when ctx ends.
func (a *Agent) watchLeases(ctx context.Context) error {
	timer := time.NewTimer(longestTTL)
	defer timer.Stop()
	for {
		next := a.endLeases(ctx)
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-a.woken:
		}
	}
}

// endLeases ends the leases whose time has come, and returns how long it is to
// the next.
func (a *Agent) endLeases(ctx context.Context) time.Duration {
	next := longestTTL
	for _, e := range a.allEnvironments() {
		e.mu.Lock()
		l := e.lease
		if l == nil {
			e.mu.Unlock()
			continue
		}
		if l.live() {
			next = min(next, time.Until(l.end()))
			e.mu.Unlock()
			continue
		}
		// What the holder asked for ends before anybody else can hold a lease:
		// the next holder's work is not to be cancelled for it.
		e.lease = nil
		e.operations.interrupt(fmt.Errorf("%w: %s on %s (%s)", errLeaseEnded, l.Holder.Who(), l.Holder.Machine, l.Holder.Command))
		e.mu.Unlock()
		a.leaseEnded(ctx, e, l)
	}
	return max(next, time.Millisecond)
}

// leaseEnded has what the holder left reconciled.
func (a *Agent) leaseEnded(ctx context.Context, e *environment, l *lease) {
	err := a.change(e, "lease.ended", func(_ *journal.Tx, r *journal.Environment) error {
		if r.Lease != nil && r.Lease.Fence == l.Fence {
			r.Lease = nil
		}
		return nil
	})
	if err != nil {
		a.log.Error("recording the end of a lease", "environment", e.key(), "error", err)
	}
	a.start(ctx, func(ctx context.Context) {
		a.reconcile(ctx, e, "the lease of "+l.Holder.Who()+" on "+l.Holder.Machine+" ended without a confirmation")
	})
}

// freeze keeps deployments out until it ends or is taken away. Saying the same
// again sets another end; what else is on is replaced only on request.
func (a *Agent) freeze(e *environment, by api.Actor, req api.SetFreeze) (*api.Freeze, error) {
	now := time.Now().Round(0)
	f := &api.Freeze{By: by, Reason: req.Reason, Since: now}
	if req.For > 0 {
		f.Until = now.Add(req.For.D())
	}
	err := a.change(e, "freeze", func(_ *journal.Tx, r *journal.Environment) error {
		if fault := frozen(r); fault != nil && !req.Replace && (r.Freeze.By.User != by.User || r.Freeze.Reason != req.Reason) {
			return fault
		}
		r.Freeze = f
		return nil
	})
	if err == nil {
		a.announce(e, "%s locks %s: %s", by.Who(), e.name, f.Reason)
	}
	return f, err
}

func (a *Agent) unfreeze(e *environment) error {
	return a.change(e, "unfreeze", func(_ *journal.Tx, r *journal.Environment) error {
		r.Freeze = nil
		return nil
	})
}
