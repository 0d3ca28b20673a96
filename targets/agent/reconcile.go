package agent

import (
	"cmp"
	"context"
	"errors"
	"time"

	"dray/targets/agent/journal"
)

// reconcileEvery is how often every environment is looked at, whatever happens.
const reconcileEvery = 10 * time.Minute

// reconcile brings what this host has of an environment to what its journal says.
// A start of the agent, the end of a lease, of a deployment and of a removal, and
// the clock all ask for this and nothing else. It does what is missing, whoever
// began it: after a crash it is run again, and no more is needed.
//
//	the journal says                              what is done
//	it is being removed                           the removal, to its end
//	open: goes back, or its holder has gone       it is discarded, or taken back
//	open: its holder works on it, or it voted     nothing
//	open and held                                 what it has replaced is drained and stopped
//	none open                                     what earlier releases left is drained, stopped, dropped
//
// Why is the reason that history gives for what goes back. It tries until it is
// done, or until what comes next in the environment ends it, which reconciles
// again.
func (a *Agent) reconcile(ctx context.Context, e *environment, why string) {
	e.reconciling.Add(1)
	defer e.reconciling.Add(-1)
	a.insist(ctx, e, "bringing an environment to what its journal says", func(ctx context.Context) error {
		return a.reconcileOnce(ctx, e, why)
	})
	if ctx.Err() == nil {
		a.collect(ctx)
	}
}

func (a *Agent) reconcileOnce(ctx context.Context, e *environment, why string) error {
	r, err := a.read(e)
	switch {
	case err != nil:
		return err
	case r.Down != nil:
		return a.finishDown(ctx, e)
	case r.Open != "":
		if err := a.settle(ctx, e, cmp.Or(why, "its deployer has gone")); err != nil {
			return err
		}
	}
	return a.tidy(ctx, e)
}

// reconcileByClock reconciles the environments that nothing is reconciling,
// from time to time, until ctx ends.
func (a *Agent) reconcileByClock(ctx context.Context) error {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, e := range a.allEnvironments() {
			r, err := a.read(e)
			if err == nil && e.reconciling.Load() == 0 && (r.Current != "" || r.Open != "" || r.Down != nil) {
				a.start(ctx, func(ctx context.Context) { a.reconcile(ctx, e, "") })
			}
		}
	}
}

// settle ends a deployment that its holder has left: it discards what was
// prepared, and takes back what was committed.
func (a *Agent) settle(ctx context.Context, e *environment, why string) error {
	if e.leased() {
		return nil // its holder decides
	}
	ctx, end, err := e.operations.acquire(ctx, "going back", nil)
	if err != nil {
		return err
	}
	defer end()
	r, err := a.read(e)
	if err != nil || r.Open == "" || e.leased() {
		return err // nothing is in doubt, or a new holder has come who decides
	}
	if waits, err := a.waitsToBeTold(r.Open); err != nil || waits {
		return err
	}
	return a.settleOpen(ctx, e, r.Open, why)
}

// tidy retires what the journal has no use for any more. While a deployment is
// under way it leaves everything alone, but for one that is held: nothing else
// stops what that one has replaced, and both at once would do some work twice.
func (a *Agent) tidy(ctx context.Context, e *environment) error {
	ctx, end, err := e.operations.acquireShared(ctx, "tidying up", nil)
	if err != nil {
		return err
	}
	defer end()
	r, err := a.read(e)
	if err != nil {
		return err
	}
	if r.Open != "" {
		err = a.tidyHeld(ctx, e, r)
	} else {
		err = errors.Join(a.retireLeft(ctx, e), a.dropDeployments(e), a.releasePorts(ctx, e))
	}
	if ctx.Err() != nil {
		return nil // what comes next has ended it
	}
	return err
}

// tidyHeld retires what an open deployment that is held leaves behind.
func (a *Agent) tidyHeld(ctx context.Context, e *environment, r journal.Environment) error {
	w, err := a.load(e, r.Open, nil)
	if err != nil || !w.IsHeld() {
		return err
	}
	return errors.Join(a.retireLeft(ctx, e), a.retireReplaced(ctx, w))
}
