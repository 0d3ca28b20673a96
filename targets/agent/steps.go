package agent

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// steps takes steps of a prepared deployment, in order. The first that fails
// ends them; what to do then is the caller's, or the end of the lease's.
func (a *Agent) steps(ctx context.Context, e *environment, id string, req api.Steps, sink event.Sink) (*api.StepsResult, error) {
	acquire := e.operations.acquire
	if onlyRetire(req.Steps) {
		acquire = e.operations.acquireShared
	}
	ctx, end, err := acquire(ctx, "a rollout", e.holder(req.Fence))
	if err != nil {
		return nil, err
	}
	defer end()
	w, err := a.load(e, id, sink)
	if err != nil {
		return nil, err
	}
	if w.State == api.StateConfirmed && onlyRetire(req.Steps) {
		return &api.StepsResult{Instances: a.statuses(w)}, nil // what is left is retired by reconcile
	}
	if err := a.commit(w, req); err != nil {
		return nil, err
	}
	if len(req.Steps) == 0 { // nothing here gets another container
		if err := a.mend(ctx, w); err != nil {
			return nil, err
		}
	}
	for _, step := range req.Steps {
		if slices.Contains(w.Done, step.Key) {
			continue
		}
		if err := a.step(ctx, w, step); err != nil {
			return nil, err
		}
		err := a.amend(w, "step."+step.Key, "", func(d *journal.Deployment) { d.Done = append(d.Done, step.Key) })
		if err != nil {
			return nil, err
		}
	}
	if err := a.committed(ctx, w); err != nil {
		return nil, err
	}
	return &api.StepsResult{Instances: a.statuses(w)}, nil
}

// onlyRetire says whether the steps only retire containers: that may take as
// long as the longest connection, so it goes on beside other steps.
func onlyRetire(steps []api.Step) bool {
	return len(steps) > 0 && !slices.ContainsFunc(steps, func(s api.Step) bool { return s.Action != api.ActionRetire })
}

// commit enters the state from which the agent goes back by itself.
func (a *Agent) commit(w *work, req api.Steps) error {
	if w.IsHeld() {
		return heldFault(w)
	}
	switch w.State {
	case api.StatePrepared, api.StateCommitting, api.StateCommitted:
	default:
		return api.Errorf(api.CodeConflict, "deployment %s is %s: no step can be taken", w.ID, w.State)
	}
	a.boundByConfirm(w.e, w.release.ConfirmIn.D())
	if w.State == api.StateCommitting && w.Fence == req.Fence || w.State == api.StateCommitted && onlyRetire(req.Steps) {
		return nil
	}
	return a.amend(w, "commit", "", func(d *journal.Deployment) { d.State, d.Fence = api.StateCommitting, req.Fence })
}

// committed records that nothing is left to do, if so. The host has to show it.
func (a *Agent) committed(ctx context.Context, w *work) error {
	if w.State != api.StateCommitting || a.unfinished(w) != nil {
		return nil
	}
	if err := a.reconcileTraffic(ctx, w.e); err != nil {
		return err
	}
	return a.amend(w, "committed", "", func(d *journal.Deployment) {
		if d.State == api.StateCommitting { // it may have been confirmed, or gone back, beside this
			d.State = api.StateCommitted
		}
	})
}

// step takes one step. Taking it again after a crash is harmless.
func (a *Agent) step(ctx context.Context, w *work, s api.Step) error {
	for _, instance := range s.Instances {
		if _, _, found := w.placedNamed(instance); !found {
			return api.Errorf(api.CodeBadRequest, "step %s: neither %s nor the release before has %s on %s", s.Key, releaseWord(w.Release), instance, w.Host)
		}
	}
	switch s.Action {
	case api.ActionStart:
		return a.startAll(ctx, w, s.Instances)
	case api.ActionSwitch:
		return a.switchTo(ctx, w, s.Instances)
	case api.ActionRetire:
		return a.retire(ctx, w, s.Instances)
	case api.ActionStop:
		return a.stopFirst(ctx, w, s.Instances)
	}
	return api.Errorf(api.CodeBadRequest, "step %s: there is no action %q", s.Key, s.Action)
}

// startAll starts the new containers of instances and waits until each has
// been healthy for min_healthy_time. The first that is not cancels the rest.
func (a *Agent) startAll(ctx context.Context, w *work, instances []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mostStarts)
	for _, instance := range instances {
		p, isNew, _ := w.placedNamed(instance)
		if !isNew {
			continue
		}
		group.Go(func() error { return a.startOne(ctx, w, p, w.containerOf(instance), w.changed(instance)) })
	}
	return group.Wait()
}

// changed says that an instance gets another container than it had.
func (w *work) changed(instance string) bool {
	return w.old == nil || w.old.Containers[instance] != w.Containers[instance]
}

// startOne starts a container and waits until it is healthy; a new one must
// stay so for min_healthy_time.
func (a *Agent) startOne(ctx context.Context, w *work, p placed, id string, isNew bool) error {
	w.tell(p.instance, event.Starting, "")
	if c := a.containers()[id]; runs(c) && !c.Wanted { // it has been told to end, and will
		if err := a.parts.Containers.Stop(ctx, id); err != nil {
			return fmt.Errorf("waiting for the container of %s to end: %w", p.instance, err)
		}
	}
	if err := a.parts.Containers.Start(ctx, id); err != nil {
		w.tell(p.instance, event.Failed, err.Error())
		return a.unhealthy(w, p, id, fmt.Errorf("it could not be started: %w", err))
	}
	update := p.service.Update
	least := update.MinHealthyTime.D()
	if !isNew {
		least = 0
	}
	waiting, cancel := deadline(ctx, update.HealthyDeadline.D())
	defer cancel()
	if err := a.parts.Health.Wait(waiting, id, least); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.tell(p.instance, event.Unhealthy, err.Error())
		return a.unhealthy(w, p, id, err)
	}
	w.tell(p.instance, event.Healthy, "")
	return nil
}

// deadline bounds ctx by a time of the file; zero is no bound.
func deadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// switchTo has new connections of these instances go to their new containers.
// All services of the step change in one transaction.
func (a *Agent) switchTo(ctx context.Context, w *work, instances []string) error {
	for _, instance := range instances {
		id := w.containerOf(instance)
		if c, ok := a.containers()[id]; id != "" && (!ok || !runs(c)) {
			return api.Errorf(api.CodeConflict, "%s can't take connections: its container does not run; start it first", instance)
		}
	}
	if err := a.serve(ctx, w, "switch", instances); err != nil {
		return err
	}
	for _, instance := range instances {
		w.tell(instance, event.Switched, "")
	}
	return nil
}

// serve journals that the instances are served by the deployment's containers,
// or by none where it has none, and tells the kernel.
func (a *Agent) serve(ctx context.Context, w *work, point string, instances []string) error {
	err := a.change(w.e, point, func(_ *journal.Tx, r *journal.Environment) error {
		serving := maps.Clone(r.Serving)
		if serving == nil {
			serving = map[string]string{}
		}
		for _, instance := range instances {
			delete(serving, instance)
			if id := w.containerOf(instance); id != "" {
				serving[instance] = id
			}
		}
		r.Serving = serving
		return nil
	})
	if err != nil {
		return err
	}
	return a.route(ctx, w.e)
}

// retire drains the old containers of instances and stops them. They are kept.
func (a *Agent) retire(ctx context.Context, w *work, instances []string) error {
	r, err := a.read(w.e)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, instance := range instances {
		old := w.oldOf(instance)
		if old == "" {
			continue
		}
		if r.Serving[instance] == old {
			return api.Errorf(api.CodeConflict, "%s still serves from its old container; switch it first", instance)
		}
		p, _, _ := w.placedNamed(instance)
		group.Go(func() error { return a.retireOne(ctx, w, p, old) })
	}
	return group.Wait()
}

// retireOne waits for a container's live connections to end, at most for
// update.drain, then stops it.
func (a *Agent) retireOne(ctx context.Context, w *work, p placed, id string) error {
	c, exists := a.containers()[id]
	if exists && runs(c) {
		w.tell(p.instance, event.Draining, "")
		if err := a.drain(ctx, p.service.Update.Drain.D(), c); err != nil {
			return err
		}
	}
	// As long as the deployment is open, its old containers are the current
	// release's: only what serves again, or what it took up itself, must stay.
	r, err := a.read(w.e)
	if err != nil {
		return err
	}
	if r.Serving[p.instance] == id || w.containerOf(p.instance) == id || r.Open != "" && r.Open != w.ID {
		return nil
	}
	if err := a.parts.Containers.Stop(ctx, id); err != nil {
		return fmt.Errorf("stopping the old container of %s: %w", p.instance, err)
	}
	w.tell(p.instance, event.Stopped, "")
	return nil
}

// drain waits until the kernel tracks no connection to the containers, or for
// the time most, and has those that nobody answered go elsewhere.
func (a *Agent) drain(ctx context.Context, most time.Duration, containers ...runtime.Container) error {
	var addresses []netip.Addr
	for _, c := range containers {
		if c.Address.IsValid() && runs(c) {
			addresses = append(addresses, c.Address)
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := a.parts.Traffic.Drained(waiting, addresses)
	if err != nil && waiting.Err() == nil {
		return fmt.Errorf("waiting for connections to end: %w", err)
	}
	return context.Cause(ctx) // nil also when the time was over: it was a bound, not a fault
}

// stopFirst stops the old containers of instances before the new ones start,
// where both can't run at once.
func (a *Agent) stopFirst(ctx context.Context, w *work, instances []string) error {
	var stopping []string
	for _, instance := range instances {
		if w.oldOf(instance) != "" {
			stopping = append(stopping, instance)
		}
	}
	err := a.amend(w, "stop.begin", fmt.Sprint(stopping), func(d *journal.Deployment) {
		d.StopFirst = append(d.StopFirst, stopping...)
	})
	if err != nil {
		return err
	}
	err = a.change(w.e, "stop.withdraw", func(_ *journal.Tx, r *journal.Environment) error {
		serving := maps.Clone(r.Serving)
		for _, instance := range stopping {
			delete(serving, instance)
		}
		r.Serving = serving
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.route(ctx, w.e); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, instance := range stopping {
		group.Go(func() error {
			if err := a.parts.Containers.Stop(ctx, w.oldOf(instance)); err != nil {
				return fmt.Errorf("stopping the old container of %s: %w", instance, err)
			}
			w.tell(instance, event.Stopped, "")
			return nil
		})
	}
	return group.Wait()
}

// unfinished says what keeps the deployment from being whole, or nil: every
// instance placed here runs and serves from its container, and nothing else
// serves. Old containers may still drain: that is finished beside it.
func (a *Agent) unfinished(w *work) error {
	r, err := a.read(w.e)
	if err != nil {
		return err
	}
	containers := a.containers()
	for _, p := range w.placed {
		c, exists := containers[w.containerOf(p.instance)]
		switch {
		case !exists || !runs(c):
			return api.Errorf(api.CodeConflict, "%s of %s does not run", p.instance, releaseWord(w.Release))
		case c.Health.Status == api.HealthUnhealthy:
			fault := api.Errorf(api.CodeUnhealthy, "%s of %s is unhealthy: %s", p.instance, releaseWord(w.Release), c.Health.Last)
			fault.Instance, fault.Service = p.instance, p.service.Name
			return fault
		case r.Serving[p.instance] != c.ID:
			return api.Errorf(api.CodeConflict, "%s of %s does not serve yet", p.instance, releaseWord(w.Release))
		}
	}
	for instance := range r.Serving {
		if w.containerOf(instance) == "" {
			return api.Errorf(api.CodeConflict, "%s of %s still serves, and %s has none", instance, releaseWord(w.FromNumber), releaseWord(w.Release))
		}
	}
	return nil
}
