package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// mostPulls and mostStarts bound what one host does at the same time.
const (
	mostPulls  = 4
	mostStarts = 8
)

// errTakenUp is the cause with which the retiring of what earlier deployments
// left is ended: the next one does it.
var errTakenUp = errors.New("another deployment begins")

// prepare makes everything ready for a release without changing what serves.
// A fault takes back all that it made. Repeating it gives the same result.
func (a *Agent) prepare(ctx context.Context, e *environment, p *api.Prepare, sink event.Sink) (*api.PrepareResult, error) {
	if err := validate(e, p); err != nil {
		return nil, err
	}
	ctx, end, err := e.operations.acquire(ctx, "preparing "+releaseWord(p.Release.ReleaseNumber()), e.holder(p.Fence))
	if err != nil {
		return nil, err
	}
	defer end()
	w, err := a.openDeployment(ctx, e, p, sink)
	if err != nil {
		return nil, err
	}
	if w.State == api.StatePreparing {
		a.announce(e, "%s brings %s (%s)", w.Actor.Who(), releaseWord(w.Release), w.Kind)
		// After the journal: what begins to retire from now on finds a deployment
		// under way. A container that is being stopped may be taken up again here.
		e.operations.drain(errTakenUp)
		if err := a.reserve(ctx, w, p); err != nil {
			return nil, a.failPrepare(ctx, w, err)
		}
	}
	w.sink.Emit(event.Event{Type: event.HostState, State: event.Prepared, Done: w.Received, Unit: "bytes"})
	return &api.PrepareResult{Instances: a.statuses(w), Received: w.Received, Already: a.already(w)}, nil
}

// openDeployment journals a new deployment, or finds the one that an earlier
// call of the same id opened.
func (a *Agent) openDeployment(ctx context.Context, e *environment, p *api.Prepare, sink event.Sink) (*work, error) {
	r, err := a.read(e)
	if err != nil {
		return nil, err
	}
	if r.Open != "" && r.Open != p.Deployment {
		if voted, err := a.votedFor(r.Open); err != nil || voted {
			return nil, errors.Join(err, api.Errorf(api.CodeConflict, "deployment %s is in doubt: other hosts may have confirmed it", r.Open))
		}
		// Left by a holder whose lease has ended: this turn settles it.
		if err := a.settleOpen(ctx, e, r.Open, "another deployment begins"); err != nil {
			return nil, err
		}
	}
	err = a.change(e, "prepare.begin", func(t *journal.Tx, r *journal.Environment) error {
		return openDeployment(t, r, p)
	})
	if err != nil {
		return nil, err
	}
	return a.load(e, p.Deployment, sink)
}

func openDeployment(t *journal.Tx, r *journal.Environment, p *api.Prepare) error {
	known, err := t.Deployment(p.Deployment)
	if err != nil {
		return err
	}
	if known != nil {
		if known.IsHeld() {
			return heldFault(&work{Deployment: known})
		}
		if !known.IsOpen() || known.State == api.StateReverting {
			return api.Errorf(api.CodeConflict, "deployment %s is %s already", p.Deployment, known.State)
		}
		_, err := t.Amend(known.ID, "prepare.again", "", func(d *journal.Deployment) { d.Fence = p.Fence })
		return err
	}
	if err := isSame(t, r, &p.Release); err != nil {
		return err
	}
	d := &journal.Deployment{
		ID: p.Deployment, Kind: p.Kind, State: api.StatePreparing, Actor: p.Actor, Host: p.Host, Fence: p.Fence,
		Release: p.Release.ReleaseNumber(), From: r.Current, Started: time.Now().Round(0),
	}
	if from, err := t.Deployment(r.Current); err != nil {
		return err
	} else if from != nil {
		d.FromNumber = from.Release
	}
	r.Open, r.LastNumber, r.Network = d.ID, max(r.LastNumber, d.Release.Number), true
	r.Down = nil // a removal that did not come to its end is given up
	r.KeptAs = cmp.Or(r.KeptAs, ownName(r.Project, r.Name))
	if err := t.AddContent(r.Key(), &p.Release); err != nil {
		return err
	}
	return t.Begin(d, &p.Release, "prepare.begin", releaseWord(d.Release)+" from "+releaseWord(d.FromNumber))
}

// reserve gets hold of everything that could fail later.
func (a *Agent) reserve(ctx context.Context, w *work, p *api.Prepare) error {
	// What an interrupted attempt of the same deployment made is not trusted.
	if err := a.removeMade(ctx, w); err != nil {
		return err
	}
	if err := errors.Join(a.reserveRoom(w), checkSources(w.release, w.Host, w.placed), checkConfinement(ctx, w.release, w.Host, w.placed)); err != nil {
		return err
	}
	a.tellUnlimited(w)
	a.tellNameless(w)
	if err := a.keepSecrets(w.release, w.Host, p.Secrets); err != nil {
		return err
	}
	if err := a.reservePorts(ctx, w); err != nil {
		return err
	}
	received, err := a.pullImages(ctx, w, p.Sources)
	if err != nil {
		return err
	}
	if err := a.tellVolatile(ctx, w); err != nil {
		return err
	}
	containers, err := a.chooseContainers(ctx, w)
	if err != nil {
		return err
	}
	labels := w.made.older(containers, a.containers())
	return a.amend(w, "prepare.done", "", func(d *journal.Deployment) {
		d.Containers, d.Received, d.State = containers, received, api.StatePrepared
		d.Labels = labels
	})
}

// failPrepare takes back what was made and returns the fault that led there.
// The clean-up outlives the cancellation that may be that fault.
func (a *Agent) failPrepare(ctx context.Context, w *work, fault error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(fault, cause) {
		fault = fmt.Errorf("%w: %w", cause, fault)
	}
	if err := a.discard(context.WithoutCancel(ctx), w, wireError(fault).Message); err != nil {
		return fmt.Errorf("%w; taking it back: %w", fault, err)
	}
	return fault
}

// already says whether this very release runs here, whole.
func (a *Agent) already(w *work) bool {
	return w.old != nil && maps.Equal(w.old.Containers, w.Containers) &&
		w.release.Same(w.oldRel) && a.unfinished(w) == nil
}

// discard ends a deployment that has changed nothing.
func (a *Agent) discard(ctx context.Context, w *work, reason string) error {
	if err := a.removeMade(ctx, w); err != nil {
		return err
	}
	if err := a.finish(w, api.StateDiscarded, reason); err != nil {
		return err
	}
	a.later(func(ctx context.Context) { a.reconcile(ctx, w.e, "") })
	return nil
}

// removeMade removes the containers that a deployment made.
func (a *Agent) removeMade(ctx context.Context, w *work) error {
	var faults []error
	for _, c := range a.madeBy(w.e, w.ID) {
		if err := a.parts.Containers.Remove(ctx, c.ID); err != nil {
			faults = append(faults, fmt.Errorf("removing container %s: %w", c.Spec.Name, err))
		}
	}
	return errors.Join(faults...)
}

// finish writes the end of a deployment that did not become the current one.
func (a *Agent) finish(w *work, result, reason string) error {
	var ended *journal.Deployment
	err := a.change(w.e, "deployment."+result, func(t *journal.Tx, r *journal.Environment) (err error) {
		if r.Open == w.ID {
			r.Open = ""
		}
		r.Ended = time.Now().Round(0)
		if err := t.AddRecord(r, w.record(result, reason)); err != nil {
			return err
		}
		ended, err = end(t, w.ID, result, reason)
		return err
	})
	if err == nil {
		w.Deployment = ended
	}
	return err
}

// end writes that a deployment has come to its end without a confirmation.
func end(t *journal.Tx, id, result, reason string) (*journal.Deployment, error) {
	return t.Amend(id, result, reason, func(d *journal.Deployment) {
		d.State, d.Reason, d.Ended, d.Containers = result, reason, time.Now().Round(0), nil
	})
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
