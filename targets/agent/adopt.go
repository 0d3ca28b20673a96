package agent

import (
	"context"
	"time"

	"dray/targets/agent/journal"
	"dray/targets/runtime"
)

// A run of a task, or by hand, needs no agent: its shim holds it, and keeps its
// output and its exit code. So what an earlier agent has left, by an upgrade, a
// stop or a crash, is taken up where it is:
//
//	record       container      then
//	under way    runs, ended    it is attended to until its end, and recorded
//	under way    created        its program never began: recorded so, its key is free
//	under way    none           likewise
//	ended        any            its container is removed
//	unreadable   any            it is left as it is

// openRun is a run that the journal has under way.
type openRun struct {
	e   *environment
	run journal.Run
}

// adoptRuns takes up what an earlier agent has left. It registers the keys of
// runs before it returns: whoever asks again waits for them.
func (a *Agent) adoptRuns(ctx context.Context) error {
	open, unreadable, err := a.openRuns()
	if err != nil {
		return err
	}
	for _, c := range a.parts.Containers.List() {
		labels := c.Spec.Labels
		e := a.environmentOf(labels[runtime.LabelProject], labels[runtime.LabelEnvironment])
		id := labels[runtime.LabelTaskRun]
		of, underWay := open[id]
		switch {
		case !runsOnce(c) || unreadable[id]:
		case labels[runtime.LabelTask] == "":
			a.start(ctx, func(ctx context.Context) { a.adoptByHand(ctx, c) })
		case !underWay:
			a.start(ctx, func(ctx context.Context) { a.clearTask(ctx, e, c) })
		case c.State != runtime.Created:
			delete(open, id)
			a.adoptRun(ctx, of, c)
		}
	}
	for _, of := range open {
		a.start(ctx, func(ctx context.Context) { a.neverBegan(ctx, of) })
	}
	return nil
}

// openRuns returns the runs under way by their ids, and the ids of those whose
// records can't be read.
func (a *Agent) openRuns() (open map[string]openRun, unreadable map[string]bool, err error) {
	open, unreadable = map[string]openRun{}, map[string]bool{}
	err = a.journal.View(func(t *journal.Tx) error {
		return t.AllRuns(func(project, environment string, r journal.Run, fault error) error {
			switch {
			case fault != nil:
				a.log.Error("a run of a task is broken; it is left as it is", "error", fault)
				unreadable[r.ID] = true
			case !r.Done():
				open[r.ID] = openRun{a.environmentOf(project, environment), r}
			}
			return nil
		})
	})
	return open, unreadable, err
}

// adoptRun attends to a run that another agent has started.
func (a *Agent) adoptRun(ctx context.Context, of openRun, c runtime.Container) {
	flight, mine := a.takeOff(of.e, of.run.Key)
	if !mine {
		a.log.Error("two runs of a task have one key; the second is left as it is", "run", of.run.ID, "container", c.Spec.Name)
		return
	}
	flight.started(of.run.ID, c.ID)
	a.start(ctx, func(ctx context.Context) {
		defer a.land(flight)
		working, end := a.adoptedLease(ctx, of, c)
		defer end()
		a.log.Info("a run of a task is taken up again", "task", of.run.Task, "run", of.run.ID, "container", c.Spec.Name)
		if _, err := a.attend(ctx, working, of.e, &of.run, c, func(string, string) {}); err != nil && ctx.Err() == nil {
			a.log.Warn("a run of a task that was taken up again", "task", of.run.Task, "run", of.run.ID, "error", err)
		}
	})
}

// adoptedLease returns what bounds an adopted run. Where its lease ended while
// no agent ran, it ends now, as it would have then. One that has ended by itself
// has nothing to be bounded.
func (a *Agent) adoptedLease(ctx context.Context, of openRun, c runtime.Container) (working context.Context, end func()) {
	if c.State == runtime.Exited {
		return ctx, func() {}
	}
	working, end, err := of.e.whileLeased(ctx, &of.run)
	if err == nil {
		return working, end
	}
	working, cancel := context.WithCancelCause(ctx)
	cancel(err)
	return working, func() {}
}

// neverBegan ends a run that was cut off before its program began.
func (a *Agent) neverBegan(ctx context.Context, of openRun) {
	run := of.run
	run.ExitCode, run.Reason, run.Key = exitNotRun, "the agent was restarted before it began", ""
	for _, c := range a.containersOf(of.e) {
		if c.Spec.Labels[runtime.LabelTaskRun] == run.ID {
			a.endRun(ctx, of.e, &run, c)
			return
		}
	}
	a.endRun(ctx, of.e, &run, runtime.Container{})
}

// clearTask removes the container of a run whose end is recorded, or that an
// older agent has not recorded at all.
func (a *Agent) clearTask(ctx context.Context, e *environment, c runtime.Container) {
	a.insist(ctx, e, "removing the container of a run", func(ctx context.Context) error {
		if err := a.keepTaskLog(e, c); err != nil {
			a.log.Warn("keeping the output of a task", "container", c.Spec.Name, "error", err)
		}
		return a.removeRun(ctx, c)
	})
}

// claimTime is how long the container of a run by hand that has ended without
// its client is kept: the client may be on its way back.
const claimTime = 10 * time.Minute

// adoptByHand lets a run by hand come to its end, and removes it once its client
// has had time to ask how it ended. One that was never started has no client that
// would know of it.
func (a *Agent) adoptByHand(ctx context.Context, c runtime.Container) {
	if c.State != runtime.Created {
		if _, err := a.awaitEnd(ctx, c.ID); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(claimTime):
		}
	}
	if err := a.removeRun(ctx, c); err != nil {
		a.log.Warn("removing a container that was run by hand", "container", c.Spec.Name, "error", err)
	}
}
