package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// down removes an environment from this host: what serves first lets its
// connections end. Its history stays, its volumes unless they are asked for.
func (a *Agent) down(ctx context.Context, e *environment, req api.Down, sink event.Sink) (*api.DownResult, error) {
	if err := e.held(req.Fence); err != nil {
		return nil, err
	}
	e.operations.interrupt(errors.New("the environment is taken down"))
	ctx, end, err := e.operations.acquire(ctx, "the removal of the environment", e.holder(req.Fence))
	if err != nil {
		return nil, err
	}
	defer end()
	err = a.change(e, "down.begin", func(_ *journal.Tx, r *journal.Environment) error {
		if r.Down == nil {
			r.Down = &journal.Down{ID: req.ID, Actor: req.Actor, Started: time.Now().Round(0)}
		}
		r.Down.Volumes = req.Volumes
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.takeDown(ctx, e, sink)
}

// takeDown does what journal.Down says; again after a crash.
func (a *Agent) takeDown(ctx context.Context, e *environment, sink event.Sink) (*api.DownResult, error) {
	e.operations.drain(errors.New("the environment is taken down"))
	r, err := a.read(e)
	if err != nil {
		return nil, err
	}
	if err := a.withdrawAll(ctx, e); err != nil {
		return nil, err
	}
	result := &api.DownResult{Containers: []string{}}
	for _, c := range a.containersOf(e) {
		if err := errors.Join(a.parts.Containers.Stop(ctx, c.ID), a.parts.Containers.Remove(ctx, c.ID)); err != nil {
			return nil, fmt.Errorf("removing container %s: %w", c.Spec.Name, err)
		}
		result.Containers = append(result.Containers, c.Spec.Name)
		sink.Emit(event.Event{Type: event.InstanceState, Instance: c.Spec.Labels["dray.instance"], State: event.Removed})
	}
	slices.Sort(result.Containers)
	if err := a.parts.Traffic.Remove(ctx, e.network()); err != nil {
		return nil, fmt.Errorf("removing the network %s: %w", e.network(), err)
	}
	if err := a.downVolumes(ctx, e, r.Down.Volumes, result); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(a.taskLogs(e)); err != nil {
		return nil, fmt.Errorf("removing the output of tasks: %w", err)
	}
	if err := a.forget(e, r); err != nil {
		return nil, err
	}
	a.later(func(ctx context.Context) { a.reconcile(ctx, e, "") })
	return result, nil
}

// withdrawAll takes every service out of rotation and lets connections end.
func (a *Agent) withdrawAll(ctx context.Context, e *environment) error {
	longest := time.Duration(0)
	r, err := a.read(e)
	if err != nil {
		return err
	}
	if r.Current != "" {
		w, err := a.load(e, r.Current, nil)
		if err != nil {
			return err
		}
		longest = w.longestDrain()
	}
	err = a.change(e, "down.withdraw", func(_ *journal.Tx, r *journal.Environment) error {
		r.Serving = nil
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.route(ctx, e); err != nil {
		return err
	}
	return a.drain(ctx, longest, a.containersOf(e)...)
}

func (a *Agent) downVolumes(ctx context.Context, e *environment, remove bool, result *api.DownResult) error {
	names, err := a.parts.Volumes.List(e.network())
	if err != nil {
		return err
	}
	if !remove {
		result.Kept = names
		return nil
	}
	for _, name := range names {
		if err := a.parts.Volumes.Remove(ctx, e.network(), name); err != nil {
			return fmt.Errorf("removing volume %s: %w", name, err)
		}
	}
	result.Volumes = names
	return nil
}

// forget writes the end of a removal: no release, nobody's approval of one, and
// a line of history. The history of before, and the highest number that a
// release has had, stay: a number never means another release.
func (a *Agent) forget(e *environment, before journal.Environment) error {
	return a.change(e, "down.done", func(t *journal.Tx, r *journal.Environment) error {
		id := before.Down.ID
		if id == "" { // an older client asked
			id = "down-" + before.Down.Started.UTC().Format("20060102t150405")
		}
		record := api.Record{
			Deployment: id, Kind: "down",
			Actor: before.Down.Actor, Started: before.Down.Started, Ended: time.Now().Round(0), Result: api.StateConfirmed,
		}
		if d, err := t.Deployment(before.Current); err != nil {
			return err
		} else if d != nil {
			record.FromRef = api.RefFrom(d.Release)
		}
		if err := a.endOpen(t, e, r, before.Open); err != nil {
			return err
		}
		r.Current, r.Open, r.Stable, r.Serving, r.Down, r.Network, r.Approvals = "", "", nil, nil, nil, false, nil
		r.Since = time.Time{}
		return t.AddRecord(r, record)
	})
}

// endOpen ends the deployment that the removal finds open, with its line of
// history. One that can't be read is no reason to keep an environment that is
// to go.
func (a *Agent) endOpen(t *journal.Tx, e *environment, r *journal.Environment, id string) error {
	if id == "" {
		return nil
	}
	w, err := loadFrom(t, e, id)
	if err != nil {
		a.log.Error("reading the deployment that is taken down", "environment", e.key(), "deployment", id, "error", err)
		return nil
	}
	const reason = "the environment was taken down"
	result := api.StateDiscarded
	if w.Changes() {
		result = api.StateReverted
		_, err = t.Amend(id, "revert.begin", reason, func(d *journal.Deployment) { d.State, d.Reason = api.StateReverting, reason })
	}
	if err != nil {
		return err
	}
	if err := t.AddRecord(r, w.record(result, reason)); err != nil {
		return err
	}
	_, err = end(t, id, result, reason)
	return err
}

// finishDown brings a removal to its end that was cut off or has failed.
func (a *Agent) finishDown(ctx context.Context, e *environment) error {
	ctx, end, err := e.operations.acquire(ctx, "the removal of the environment", nil)
	if err != nil {
		return err
	}
	defer end()
	r, err := a.read(e)
	if err != nil || r.Down == nil {
		return err // somebody else has ended it, or a deployment gave it up
	}
	_, err = a.takeDown(ctx, e, event.Discard)
	return err
}
