package agent

import (
	"slices"
	"strings"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// amend changes a deployment on disk, with a line of the journal, and then in
// memory. It comes before the effect that it names. What is on disk is read
// again first: containers are retired beside other steps.
func (a *Agent) amend(w *work, point, text string, change func(d *journal.Deployment)) error {
	var next *journal.Deployment
	err := a.journal.Update(point, func(t *journal.Tx) (err error) {
		next, err = t.Amend(w.ID, point, text, change)
		return err
	})
	if err == nil {
		w.Deployment = next
	}
	return err
}

// work is a deployment with everything that an operation on it needs.
type work struct {
	*journal.Deployment
	e       *environment
	release *api.Release
	placed  []placed
	old     *journal.Deployment // the release before; nil for none
	oldRel  *api.Release
	oldAt   []placed
	made    fingerprints // of the environment's containers
	sink    event.Sink
}

// load reads a deployment of an environment with its releases. One that is not
// known is a fault.
func (a *Agent) load(e *environment, id string, sink event.Sink) (w *work, err error) {
	err = a.journal.View(func(t *journal.Tx) error {
		w, err = loadFrom(t, e, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	w.sink = a.sinkFor(w, sink)
	return w, nil
}

func loadFrom(t *journal.Tx, e *environment, id string) (w *work, err error) {
	w = &work{e: e}
	if w.Deployment, err = t.Deployment(id); err != nil {
		return nil, err
	}
	if w.Deployment == nil {
		return nil, api.Errorf(api.CodeNotFound, "deployment %s is not known on this host", id)
	}
	if w.release, err = t.Release(id); err != nil || w.release == nil {
		return nil, journal.Missing(err, "release of deployment %s", id)
	}
	if w.release.Project != e.project || w.release.Environment != e.name {
		return nil, api.Errorf(api.CodeNotFound, "deployment %s is not of %s in %s", id, e.name, e.project)
	}
	r, _, err := t.Environment(e.project, e.name)
	if err != nil {
		return nil, err
	}
	if w.made, err = fingerprintsOf(t, &r); err != nil {
		return nil, err
	}
	if err := w.loadOld(t); err != nil {
		return nil, err
	}
	w.placed, err = placedOn(w.release, w.Host)
	return w, err
}

func (w *work) loadOld(t *journal.Tx) (err error) {
	if w.From == "" {
		return nil
	}
	if w.old, err = t.Deployment(w.From); err != nil || w.old == nil {
		return journal.Missing(err, "deployment %s, the release before", w.From)
	}
	if w.oldRel, err = t.Release(w.From); err != nil || w.oldRel == nil {
		return journal.Missing(err, "release of deployment %s", w.From)
	}
	w.oldAt, err = placedOn(w.oldRel, w.old.Host)
	return err
}

// sinkFor stamps events with what is known of the deployment, and passes them
// to those who watch the host too.
func (a *Agent) sinkFor(w *work, sink event.Sink) event.Sink {
	both := event.Func(func(e event.Event) {
		a.events.Emit(e)
		if sink != nil {
			sink.Emit(e)
		}
	})
	return event.With(both, func(e *event.Event) {
		e.Project, e.Environment, e.Host = w.e.project, w.e.name, w.Host
		e.Release, e.Revision = w.Release.Number, w.Release.Revision
		if e.Stage == "" {
			e.Stage = w.Kind
		}
		if e.Service == "" && e.Instance != "" {
			e.Service, _, _ = strings.Cut(e.Instance, "/")
		}
	})
}

func (w *work) tell(instance, state, text string) {
	w.sink.Emit(event.Event{Type: event.InstanceState, Instance: instance, State: state, Text: text})
}

// containerOf returns the new container of an instance, "" when the release
// has none here.
func (w *work) containerOf(instance string) string { return w.Containers[instance] }

// oldOf returns the container that an instance had before, unless the new
// release goes on using it.
func (w *work) oldOf(instance string) string {
	if w.old == nil || w.old.Containers[instance] == w.Containers[instance] {
		return ""
	}
	return w.old.Containers[instance]
}

// placedNamed finds an instance of the new release, or of the old one.
func (w *work) placedNamed(instance string) (p placed, isNew, found bool) {
	at := func(p placed) bool { return p.instance == instance }
	if i := slices.IndexFunc(w.placed, at); i >= 0 {
		return w.placed[i], true, true
	}
	if i := slices.IndexFunc(w.oldAt, at); i >= 0 {
		return w.oldAt[i], false, true
	}
	return placed{}, false, false
}

// containers returns the host's containers by id.
func (a *Agent) containers() map[string]runtime.Container {
	list := a.parts.Containers.List()
	byID := make(map[string]runtime.Container, len(list))
	for _, c := range list {
		byID[c.ID] = c
	}
	return byID
}

// containersOf returns the containers of an environment.
func (a *Agent) containersOf(e *environment) []runtime.Container {
	return slices.DeleteFunc(slices.Clone(a.parts.Containers.List()), func(c runtime.Container) bool {
		return c.Spec.Labels[runtime.LabelProject] != e.project || c.Spec.Labels[runtime.LabelEnvironment] != e.name
	})
}

// madeBy returns the containers of services that a deployment made.
func (a *Agent) madeBy(e *environment, deployment string) []runtime.Container {
	return slices.DeleteFunc(a.containersOf(e), func(c runtime.Container) bool {
		return c.Spec.Labels[runtime.LabelDeployment] != deployment || runsOnce(c)
	})
}

// runsOnce tells the containers of tasks, and those that somebody runs by hand,
// from those of services: no release has them, and they end by themselves.
func runsOnce(c runtime.Container) bool {
	return c.Spec.Labels[runtime.LabelTask] != "" || c.Spec.Labels[runtime.LabelRun] != ""
}

// wireDeployment returns a deployment as callers see it.
func wireDeployment(d *journal.Deployment, l *lease) *api.Deployment {
	out := &api.Deployment{
		ID: d.ID, Kind: d.Kind, State: d.State, ReleaseRef: api.RefTo(d.Release), FromRef: api.RefFrom(d.FromNumber),
		Actor: d.Actor, Fence: d.Fence, Started: d.Started, Deadline: time.Now().Round(0), Voted: d.HasVoted(),
	}
	if d.IsHeld() {
		out.Held = d.Held
	}
	if l.live() {
		out.Deadline = l.end().Round(0)
	}
	return out
}

// record returns the line of the history.
func (w *work) record(result, reason string) api.Record {
	return api.Record{
		Deployment: w.ID, Kind: w.Kind, ReleaseRef: api.RefTo(w.Release), FromRef: api.RefFrom(w.FromNumber), Actor: w.Actor,
		Source: w.release.Source, Images: w.release.Images,
		Started: w.Started, Ended: time.Now().Round(0), Result: result, Reason: reason,
	}
}

func releaseWord(n api.ReleaseNumber) string {
	if !n.Known() {
		return "nothing"
	}
	return "release " + n.String()
}
