package agent

import (
	"context"
	"time"

	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

const (
	firstRetry   = time.Second
	longestRetry = 30 * time.Second
)

// recover reads the journal after a start of the agent, brings the kernel and
// the containers to what it says, and finishes or takes back what was under
// way.
func (a *Agent) recover(ctx context.Context) error {
	records := map[*environment]journal.Environment{}
	err := a.journal.View(func(t *journal.Tx) error {
		return t.EachEnvironment(func(key string, r journal.Environment, err error) error {
			if err != nil {
				a.log.Error("an environment is broken; it is left as it is", "environment", key, "error", err)
				return nil
			}
			e := a.environmentOf(r.Project, r.Name)
			e.resumeLease(r.Lease)
			records[e] = r
			return nil
		})
	})
	if err != nil {
		return err
	}
	if err := a.adoptRuns(ctx); err != nil {
		a.log.Error("taking up the runs that an earlier agent has left", "error", err)
	}
	close(a.ready)
	for e, r := range records {
		if err := a.resume(ctx, e, r); err != nil {
			a.log.Error("an environment is broken; it is left as it is", "environment", e.key(), "error", err)
		}
	}
	return nil
}

// resume brings one environment back. A fault of one container must not keep
// the others down, so it is only logged.
func (a *Agent) resume(ctx context.Context, e *environment, r journal.Environment) error {
	var open *journal.Deployment
	err := a.journal.View(func(t *journal.Tx) (err error) {
		open, err = t.Deployment(r.Open)
		return err
	})
	if err != nil {
		return err
	}
	if r.Down != nil {
		a.start(ctx, func(ctx context.Context) { a.reconcile(ctx, e, "") })
		return nil
	}
	if err := a.startWanted(ctx, e, r, open); err != nil {
		a.log.Error("finding the containers to start", "environment", e.key(), "error", err)
	}
	if err := a.route(ctx, e); err != nil {
		a.log.Error("bringing the rotation back", "environment", e.key(), "error", err)
	}
	if open != nil && open.Changes() {
		a.resumeBound(e, r.Open)
	}
	a.start(ctx, func(ctx context.Context) { a.reconcile(ctx, e, "the agent or the host was restarted") })
	return nil
}

// startWanted starts the containers that ran when the host went down, what keeps
// data first; the engine lets a few start at once. Those that someone stopped stay stopped, and so do those that only had to be
// retired yet.
func (a *Agent) startWanted(ctx context.Context, e *environment, r journal.Environment, open *journal.Deployment) error {
	var current *journal.Deployment
	err := a.journal.View(func(t *journal.Tx) (err error) {
		current, err = t.Deployment(r.Current)
		return err
	})
	for _, c := range startOrder(a.containersOf(e)) {
		if !c.RunsAgain() || runsOnce(c) {
			continue
		}
		if open == nil && current != nil && current.Containers[c.Spec.Labels[runtime.LabelInstance]] != c.ID {
			continue
		}
		a.starting.Add(1)
		if !a.start(ctx, func(ctx context.Context) {
			defer a.starting.Done()
			if err := a.parts.Containers.StartWanted(ctx, c.ID); err != nil {
				a.log.Error("starting a container again", "container", c.Spec.Name, "error", err)
			}
		}) {
			a.starting.Done()
		}
	}
	return err
}

func (a *Agent) resumeBound(e *environment, open string) {
	err := a.journal.View(func(t *journal.Tx) error {
		r, err := t.Release(open)
		if err == nil && r != nil {
			a.boundByConfirm(e, r.ConfirmIn.D())
		}
		return err
	})
	if err != nil {
		a.log.Error("reading the release in doubt", "environment", e.key(), "error", err)
	}
}

func (e *environment) leased() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lease.live()
}

// waitsToBeTold says that a deployment does not end by itself: others may have
// confirmed it, or it is held for people to look at.
func (a *Agent) waitsToBeTold(id string) (waits bool, err error) {
	err = a.journal.View(func(t *journal.Tx) error {
		d, err := t.Deployment(id)
		waits = d != nil && (d.HasVoted() || d.IsHeld())
		return err
	})
	return waits, err
}

func (a *Agent) votedFor(id string) (voted bool, err error) {
	err = a.journal.View(func(t *journal.Tx) error {
		d, err := t.Deployment(id)
		voted = d != nil && d.HasVoted()
		return err
	})
	return voted, err
}

// settleOpen ends the open deployment in the turn that the caller has. One that
// goes back to containers that run, but are not healthy, has ended.
func (a *Agent) settleOpen(ctx context.Context, e *environment, id, reason string) error {
	w, err := a.load(e, id, nil)
	if err != nil {
		return err
	}
	a.log.Warn("a deployment is taken back", "environment", e.key(), "deployment", id, "state", w.State, "reason", reason)
	err = a.goBack(ctx, w, reason)
	if err != nil && w.State == api.StateReverted {
		a.log.Error("the release before is not healthy", "environment", e.key(), "error", err)
		return nil
	}
	return err
}
