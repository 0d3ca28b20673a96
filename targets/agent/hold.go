package agent

import (
	"context"
	"errors"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// errHeld is the cause with which a rollout is cancelled that has failed and
// is to be held.
var errHeld = errors.New("the deployment is held as it is")

// hold leaves a deployment that failed as it is. Nothing here goes back by
// itself any more: not at the end of the lease, not after a restart. Repeating
// it changes nothing.
func (a *Agent) hold(ctx context.Context, e *environment, id string, req api.Hold) (*api.Environment, error) {
	if err := e.held(req.Fence); err != nil {
		return nil, err
	}
	e.operations.interrupt(errHeld)
	_, end, err := e.operations.acquire(ctx, "holding a release that failed", e.holder(req.Fence))
	if err != nil {
		return nil, err
	}
	defer end()
	w, err := a.load(e, id, nil)
	if err != nil {
		return nil, err
	}
	switch {
	case w.IsHeld():
		return a.observe(e)
	case w.State != api.StatePrepared && w.State != api.StateCommitting && w.State != api.StateCommitted:
		return nil, api.Errorf(api.CodeConflict, "deployment %s is %s: it can't be held", id, w.State)
	}
	req.Reason = a.redactor().String(req.Reason)
	if err := a.recordHeld(w, req); err != nil {
		return nil, err
	}
	w.sink.Emit(event.Event{Type: event.Notice, Text: releaseWord(w.Release) + " failed and is held as it is: " + req.Reason})
	a.later(func(ctx context.Context) { a.reconcile(ctx, e, "") })
	return a.observe(e)
}

// recordHeld journals that the deployment stays, and why. A vote is void: the
// holder has seen that not all hosts agreed.
func (a *Agent) recordHeld(w *work, req api.Hold) error {
	return a.change(w.e, "hold", func(t *journal.Tx, r *journal.Environment) error {
		if err := t.AddRecord(r, w.record(api.ResultHeld, req.Reason)); err != nil {
			return err
		}
		_, err := t.Amend(w.ID, "hold", req.Reason, func(d *journal.Deployment) {
			d.Held, d.Vote, d.Fence = &api.Held{Since: time.Now().Round(0), Reason: req.Reason}, nil, req.Fence
		})
		return err
	})
}

// retireReplaced drains and stops the old containers whose instances serve from
// new ones.
func (a *Agent) retireReplaced(ctx context.Context, w *work) error {
	if !w.Changes() {
		return nil // it was prepared, no more
	}
	r, err := a.read(w.e)
	if err != nil {
		return err
	}
	var replaced []string
	for _, p := range w.oldAt {
		if old := w.oldOf(p.instance); old != "" && r.Serving[p.instance] != old {
			replaced = append(replaced, p.instance)
		}
	}
	return a.retire(ctx, w, replaced)
}

// heldFault refuses to go on with a deployment that is held.
func heldFault(w *work) error {
	return api.Errorf(api.CodeConflict, "%s failed and is held (%s): it can only go back", releaseWord(w.Release), w.Held.Reason)
}
