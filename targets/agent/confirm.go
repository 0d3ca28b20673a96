package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// confirm makes a deployment's release the current one.
func (a *Agent) confirm(ctx context.Context, e *environment, id string, by api.Actor, req api.Confirm) (*api.Record, error) {
	if done, err := a.confirmedBefore(e, id); done != nil || err != nil {
		return done, err
	}
	var err error
	if req.Approval, err = a.approvalSeen(ctx, e, req.Approval, by); err != nil {
		return nil, err
	}
	ctx, end, err := e.operations.acquire(ctx, "a confirmation", e.holder(req.Fence))
	if err != nil {
		return nil, err
	}
	defer end()
	w, err := a.load(e, id, nil)
	if err != nil {
		return nil, err
	}
	if w.IsHeld() {
		return nil, heldFault(w)
	}
	if w.State != api.StatePrepared && w.State != api.StateCommitting && w.State != api.StateCommitted {
		return nil, api.Errorf(api.CodeConflict, "deployment %s is %s: it can't be confirmed", id, w.State)
	}
	if err := a.makeWhole(ctx, w, req.Fence); err != nil {
		if !w.HasVoted() {
			return nil, err
		}
		// Other hosts may have confirmed by now: this one goes with them.
		a.log.Error("a release that is not whole is confirmed", "environment", e.key(), "release", w.Release, "error", err)
	}
	if req.Vote {
		return a.vote(w, by, req)
	}
	record, err := a.makeCurrent(w, by, req)
	if err != nil {
		return nil, err
	}
	a.boundByConfirm(e, 0)
	a.giveBack(ctx, w)
	w.sink.Emit(event.Event{Type: event.Notice, Text: releaseWord(w.Release) + " is confirmed"})
	a.scheduleChanged()
	a.later(func(ctx context.Context) { a.reconcile(ctx, e, "") })
	return record, nil
}

// makeWhole brings the host to the release in all that needs no step, and
// returns what keeps the release from being whole. A release that changes only
// such things comes here prepared: from here on it goes back by itself.
func (a *Agent) makeWhole(ctx context.Context, w *work, fence uint64) error {
	if w.State == api.StatePrepared {
		if err := a.commit(w, api.Steps{Fence: fence}); err != nil {
			return err
		}
	}
	if err := a.mend(ctx, w); err != nil {
		return err
	}
	if err := a.unfinished(w); err != nil {
		return err
	}
	return a.reconcileTraffic(ctx, w.e)
}

// giveBack lets go, at the confirmation, of the ports and names that the
// release does not have any more. The confirmation stands: what fails here is
// said, and reconcile tries again.
func (a *Agent) giveBack(ctx context.Context, w *work) {
	err := a.releasePorts(ctx, w.e)
	if err == nil {
		err = a.verifyTraffic(ctx, w.e)
	}
	if err != nil {
		w.sink.Emit(event.Event{Type: event.Warning, Text: fmt.Sprintf(
			"%s is confirmed, but ports and names that it no longer has are not given back yet: %v", releaseWord(w.Release), err)})
	}
}

// vote journals that the deployment may be confirmed on other hosts from now
// on, with what the confirmation will say.
func (a *Agent) vote(w *work, by api.Actor, req api.Confirm) (*api.Record, error) {
	record := w.record("", "")
	if w.HasVoted() {
		return &record, nil
	}
	return &record, a.amend(w, "vote", "", func(d *journal.Deployment) { d.Vote, d.VotedBy = &req, by })
}

// confirmedBefore answers a confirmation that was asked for again.
func (a *Agent) confirmedBefore(e *environment, id string) (*api.Record, error) {
	w, err := a.load(e, id, nil)
	if err != nil || w.State != api.StateConfirmed {
		return nil, err
	}
	records, err := a.history(e, 0)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if r.Deployment == id && r.Result == api.StateConfirmed {
			return &r, nil
		}
	}
	record := w.record(api.StateConfirmed, "")
	return &record, nil
}

// mend starts instances that the deployment does not change but that do not
// run or serve as they should: someone stopped them, or they are new to the
// rotation. Changed ones are the steps' business.
func (a *Agent) mend(ctx context.Context, w *work) error {
	r, err := a.read(w.e)
	if err != nil {
		return err
	}
	containers := a.containers()
	var stopped, silent []string
	for _, p := range w.placed {
		if w.changed(p.instance) {
			continue
		}
		id := w.containerOf(p.instance)
		if !runs(containers[id]) {
			stopped = append(stopped, p.instance)
		}
		if r.Serving[p.instance] != id {
			silent = append(silent, p.instance)
		}
	}
	for instance, id := range r.Serving {
		if w.containerOf(instance) == "" && !runs(containers[id]) {
			silent = append(silent, instance) // the release has none, and what was there has ended
		}
	}
	if len(stopped) > 0 {
		if err := a.startAll(ctx, w, stopped); err != nil {
			return err
		}
	}
	if len(silent) > 0 {
		return a.serve(ctx, w, "mend", silent)
	}
	return nil
}

// makeCurrent writes, in one transaction, everything that a confirmation
// means.
func (a *Agent) makeCurrent(w *work, by api.Actor, req api.Confirm) (*api.Record, error) {
	now := time.Now().Round(0)
	healthy := cmp.Or(lastHealthy(a.ranHere(w)), now)
	record := w.record(api.StateConfirmed, "")
	if w.Vote != nil {
		req.Verified, req.Approval, req.Skipped, by = w.Vote.Verified, w.Vote.Approval, w.Vote.Skipped, w.VotedBy
	}
	record.Verified, record.Approval, record.Skipped = req.Verified, req.Approval, req.Skipped
	evidence, err := a.evidence(w, &record, api.Report{By: by, Verified: req.Verified, Skipped: req.Skipped})
	if err != nil {
		return nil, err
	}
	err = a.change(w.e, "confirm", func(t *journal.Tx, r *journal.Environment) error {
		if r.Current != "" && r.Current != w.ID {
			r.Stable = slices.Insert(r.Stable, 0, r.Current)
		}
		r.Stable = slices.DeleteFunc(r.Stable, func(id string) bool { return id == w.ID })
		r.Current, r.Since, r.Ended, r.Open = w.ID, now, now, ""
		if req.Approval != nil && onTheSpot(req.Approval, by) {
			r.Approve(*req.Approval) // whoever asks again has it
		}
		if err := dropOld(t, r, w.Release); err != nil {
			return err
		}
		if evidence != nil {
			if err := t.PutStatement(w.e.key(), w.ID, evidence); err != nil {
				return err
			}
		}
		if err := t.AddRecord(r, record); err != nil {
			return err
		}
		_, err := t.Amend(w.ID, "confirm", "", func(d *journal.Deployment) {
			d.State, d.Ended, d.Fence, d.Healthy = api.StateConfirmed, now, req.Fence, healthy
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &record, nil
}

// dropOld leaves out earlier deployments of the release that is current now,
// and releases beyond retain.
func dropOld(t *journal.Tx, r *journal.Environment, now api.ReleaseNumber) error {
	keep, err := t.Retain(r)
	if err != nil {
		return err
	}
	seen := map[api.ReleaseNumber]bool{now: true}
	var stable []string
	for _, id := range r.Stable {
		d, err := t.Deployment(id)
		if err != nil {
			return err
		}
		if d == nil || seen[d.Release] || len(stable)+1 >= keep {
			continue
		}
		seen[d.Release] = true
		stable = append(stable, id)
	}
	r.Stable = stable
	return nil
}

// history returns the last limit records, newest first; 0 is all.
func (a *Agent) history(e *environment, limit int) ([]api.Record, error) {
	records := []api.Record{}
	err := a.journal.View(func(t *journal.Tx) error {
		return t.EachRecord(e.key(), func(r api.Record) error {
			records = append(records, r)
			return nil
		})
	})
	slices.Reverse(records)
	if limit > 0 && len(records) > limit {
		records = records[:limit]
	}
	return records, err
}
