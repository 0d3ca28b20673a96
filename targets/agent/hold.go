package agent

import (
	"context"
	"errors"
	"time"

	"dray/pipeline/event"
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
	e.interrupt(errHeld)
	_, end, err := a.begin(ctx, e, "holding a release that failed", req.Fence)
	if err != nil {
		return nil, err
	}
	defer end()
	w, err := a.load(e, id, nil)
	if err != nil {
		return nil, err
	}
	switch {
	case w.held():
		return a.observe(e)
	case w.State != api.StatePrepared && w.State != api.StateCommitting && w.State != api.StateCommitted:
		return nil, api.Errorf(api.CodeConflict, "deployment %s is %s: it can't be held", id, w.State)
	}
	if err := a.recordHeld(w, req); err != nil {
		return nil, err
	}
	w.sink.Emit(event.Event{Type: event.Notice, Text: releaseWord(w.Release) + " failed and is held as it is: " + req.Reason})
	a.later(func(ctx context.Context) { a.retireReplaced(ctx, e, id) })
	return a.observe(e)
}

// recordHeld journals that the deployment stays, and why. A vote is void: the
// holder has seen that not all hosts agreed.
func (a *Agent) recordHeld(w *work, req api.Hold) error {
	return a.change(w.e, "hold", func(t *transaction, _ *envRecord) error {
		if err := t.add(bucketHistory, w.e.key(), w.record(api.ResultHeld, req.Reason)); err != nil {
			return err
		}
		_, err := t.amend(w.ID, "hold", req.Reason, func(d *deployment) {
			d.Held, d.Vote, d.Fence = &api.Held{Since: time.Now().Round(0), Reason: req.Reason}, nil, req.Fence
		})
		return err
	})
}

// retireReplaced drains and stops the old containers that a held deployment
// has taken out of the rotation already: the new ones serve in their stead for
// as long as it is held, and both at once would do some work twice. Going back
// ends it.
func (a *Agent) retireReplaced(ctx context.Context, e *environment, id string) {
	ctx, end := e.takeBeside(ctx, false)
	defer end()
	w, err := a.load(e, id, nil)
	if err != nil || !w.held() || !w.changing() {
		return // it has gone back meanwhile, or had replaced nothing
	}
	r, err := a.read(e)
	if err != nil {
		a.log.Error("reading what serves", "environment", e.key(), "error", err)
		return
	}
	var replaced []string
	for _, p := range w.oldAt {
		if old := w.oldOf(p.instance); old != "" && r.Serving[p.instance] != old {
			replaced = append(replaced, p.instance)
		}
	}
	if err := a.retire(ctx, w, replaced); err != nil && ctx.Err() == nil {
		a.log.Warn("retiring what a held release has replaced", "environment", e.key(), "error", err)
	}
}

// heldFault refuses to go on with a deployment that is held.
func heldFault(w *work) error {
	return api.Errorf(api.CodeConflict, "%s failed and is held (%s): it can only go back", releaseWord(w.Release), w.Held.Reason)
}
