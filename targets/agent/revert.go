package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// errReverted is the cause with which a rollout is cancelled that is to go
// back.
var errReverted = errors.New("the deployment goes back")

// revert ends a deployment for its holder by going back.
func (a *Agent) revert(ctx context.Context, e *environment, id string, req api.Revert, sink event.Sink) (*api.StepsResult, error) {
	if err := e.held(req.Fence); err != nil {
		return nil, err
	}
	e.operations.interrupt(errReverted)
	ctx, end, err := e.operations.acquire(ctx, "going back", e.holder(req.Fence))
	if err != nil {
		return nil, err
	}
	defer end()
	w, err := a.load(e, id, sink)
	if err != nil {
		return nil, err
	}
	if w.State == api.StateConfirmed {
		return nil, api.Errorf(api.CodeConflict, "deployment %s is confirmed: deploy %s to go back", id, releaseWord(w.FromNumber))
	}
	if err := a.goBack(ctx, w, req.Reason); err != nil {
		return nil, err
	}
	return &api.StepsResult{Instances: a.statusesOf(w.old, e)}, nil
}

// goBack ends a deployment, whatever its state: what was only prepared is
// discarded; otherwise the containers of the release before serve again first,
// and then the new ones go.
func (a *Agent) goBack(ctx context.Context, w *work, reason string) error {
	switch w.State {
	case api.StateReverted, api.StateDiscarded, api.StateConfirmed:
		return nil
	}
	reason = a.redactor().String(reason)
	if w.Changes() && w.State != api.StateReverting {
		err := a.amend(w, "revert.begin", reason, func(d *journal.Deployment) { d.State, d.Reason = api.StateReverting, reason })
		if err != nil {
			return err
		}
	}
	// After the journal: what begins to retire from now on sees that it must not.
	w.e.operations.drain(errReverted)
	if !w.Changes() {
		return a.discard(context.WithoutCancel(ctx), w, reason)
	}
	unhealthy, err := a.restore(ctx, w)
	if err != nil {
		return fmt.Errorf("going back to %s: %w", releaseWord(w.FromNumber), err)
	}
	if err := a.withdrawNew(ctx, w); err != nil {
		return err
	}
	if err := a.finish(w, api.StateReverted, w.Reason); err != nil {
		return err
	}
	a.later(func(ctx context.Context) { a.reconcile(ctx, w.e, "") })
	return unhealthy
}

// restore has the containers of the release before serve again. A container
// that runs but does not become healthy does not keep it from going back: it
// is the fault returned first.
func (a *Agent) restore(ctx context.Context, w *work) (unhealthy, err error) {
	if err := a.clearTheWay(ctx, w); err != nil {
		return nil, err
	}
	if err := a.ensureOld(ctx, w); err != nil {
		return nil, err
	}
	if unhealthy = a.startOld(ctx, w); ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, p := range w.oldAt {
		if c := a.containers()[w.old.Containers[p.instance]]; !runs(c) && p.service.Restart.Policy == pipeline.RestartAlways {
			return nil, errors.Join(unhealthy, api.Errorf(api.CodeUnhealthy, "%s of %s does not run: %s", p.instance, releaseWord(w.FromNumber), c.Error))
		}
	}
	err = a.change(w.e, "revert.switch", func(_ *journal.Tx, r *journal.Environment) error {
		r.Serving = map[string]string{}
		if w.old != nil {
			maps.Copy(r.Serving, w.old.Containers)
		}
		return nil
	})
	if err == nil {
		err = a.route(ctx, w.e)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range w.oldAt {
		w.tell(p.instance, event.Reverted, "")
	}
	return unhealthy, nil
}

// clearTheWay stops new containers that can't run beside the old ones.
func (a *Agent) clearTheWay(ctx context.Context, w *work) error {
	for _, instance := range w.StopFirst {
		if id := w.containerOf(instance); id != "" && w.changed(instance) {
			if err := a.parts.Containers.Stop(ctx, id); err != nil {
				return fmt.Errorf("stopping the new container of %s: %w", instance, err)
			}
		}
	}
	return nil
}

// ensureOld makes containers of the release before again that someone has
// removed meanwhile.
func (a *Agent) ensureOld(ctx context.Context, w *work) error {
	if w.old == nil {
		return nil
	}
	made, err := a.ensure(ctx, w.e, w.old, w.oldRel, w.oldAt)
	if err != nil {
		return err
	}
	maps.Copy(w.old.Containers, made)
	return nil
}

// ensure makes the containers of a release that do not exist any more, and
// journals which they are now. It returns those that it made.
func (a *Agent) ensure(ctx context.Context, e *environment, d *journal.Deployment, r *api.Release, at []placed) (map[string]string, error) {
	containers := a.containers()
	made := map[string]string{}
	for _, p := range at {
		if _, exists := containers[d.Containers[p.instance]]; exists {
			continue
		}
		c, err := a.create(ctx, e, r, d.ID, p)
		if err != nil {
			return nil, createFault(p, err)
		}
		made[p.instance] = c.ID
	}
	if len(made) == 0 {
		return nil, nil
	}
	return made, a.change(e, "ensure", func(t *journal.Tx, env *journal.Environment) error {
		for instance, id := range made {
			if env.Serving[instance] != "" && env.Serving[instance] == d.Containers[instance] {
				env.Serving[instance] = id
			}
		}
		_, err := t.Amend(d.ID, "ensure", fmt.Sprint(sortedKeys(made)), func(d *journal.Deployment) {
			if d.Containers == nil {
				d.Containers = map[string]string{}
			}
			maps.Copy(d.Containers, made)
		})
		return err
	})
}

// startOld starts the containers of the release before that do not run, or
// were being retired, and waits for their health. All are tried.
func (a *Agent) startOld(ctx context.Context, w *work) error {
	containers := a.containers()
	var faults []error
	found := make(chan error, len(w.oldAt))
	group := errgroup.Group{}
	group.SetLimit(mostStarts)
	for _, p := range w.oldAt {
		id := w.old.Containers[p.instance]
		c := containers[id]
		if runs(c) && c.Wanted && c.Health.Status != api.HealthStarting {
			continue
		}
		group.Go(func() error {
			found <- a.startOne(ctx, w, p, id, false)
			return nil
		})
	}
	_ = group.Wait() // the functions report through found
	close(found)
	for err := range found {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// withdrawNew drains, stops and removes the containers of the deployment that
// goes back. Those that it had taken over from an earlier release are only
// stopped. The logs of what it made are kept.
func (a *Agent) withdrawNew(ctx context.Context, w *work) error {
	made := map[string]runtime.Container{}
	for _, c := range a.madeBy(w.e, w.ID) {
		made[c.ID] = c
	}
	all := a.containers()
	going := maps.Clone(made)
	for instance, id := range w.Containers {
		if c, exists := all[id]; exists && w.changed(instance) {
			going[id] = c
		}
	}
	if err := a.drain(ctx, w.longestDrain(), slices.Collect(maps.Values(going))...); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for id, c := range going {
		_, remove := made[id]
		group.Go(func() error { return a.withdraw(ctx, w, c, remove) })
	}
	return group.Wait()
}

func (a *Agent) withdraw(ctx context.Context, w *work, c runtime.Container, remove bool) error {
	instance := c.Spec.Labels[runtime.LabelInstance]
	if err := a.parts.Containers.Stop(ctx, c.ID); err != nil {
		return fmt.Errorf("stopping the new container of %s: %w", instance, err)
	}
	if !remove {
		w.tell(instance, event.Stopped, "")
		return nil
	}
	if err := a.keepLog(w.e, w.Release, c); err != nil {
		a.log.Warn("keeping the log of a container that failed", "container", c.Spec.Name, "error", err)
	}
	if err := a.parts.Containers.Remove(ctx, c.ID); err != nil {
		return fmt.Errorf("removing the new container of %s: %w", instance, err)
	}
	w.tell(instance, event.Removed, "")
	return nil
}

// longestDrain is the longest time that a service of the new release gives its
// connections.
func (w *work) longestDrain() (longest time.Duration) {
	for _, p := range w.placed {
		longest = max(longest, p.service.Update.Drain.D())
	}
	return longest
}
