package agent

import (
	"slices"
	"strings"
	"time"

	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

// deployment is what is kept of one deployment. Once it is confirmed it stands
// for its release: Containers says what runs for it.
type deployment struct {
	ID         string            `json:"id"`
	Kind       string            `json:"kind"`
	State      string            `json:"state"`
	Actor      api.Actor         `json:"actor"`
	Host       string            `json:"host"` // this host's name in the file
	Fence      uint64            `json:"fence"`
	Release    api.ReleaseNumber `json:"release"`
	From       string            `json:"from,omitempty"` // deployment of the release before; "" for none
	FromNumber api.ReleaseNumber `json:"from_number,omitzero"`
	Started    time.Time         `json:"started"`
	Ended      time.Time         `json:"ended,omitzero"`
	Containers map[string]string `json:"containers,omitempty"` // instance → container
	Labels     map[string]string `json:"labels,omitempty"`     // labels of an older agent's on these containers → fingerprint
	Done       []string          `json:"done,omitempty"`       // keys of steps
	StopFirst  []string          `json:"stop_first,omitempty"` // instances whose old container had to stop before the new one started
	Received   int64             `json:"received,omitempty"`
	Already    bool              `json:"already,omitempty"`
	Reason     string            `json:"reason,omitempty"`  // why it goes back
	Healthy    time.Time         `json:"healthy,omitzero"`  // since when all of it was healthy, at the confirmation
	Vote       *api.Confirm      `json:"vote,omitempty"`    // it may be confirmed elsewhere: nothing here decides any more
	Held       *api.Held         `json:"held,omitempty"`    // it failed, and stays as it is until it is told to go back
	Archive    bool              `json:"archive,omitempty"` // logs of its removed containers are kept
}

// changing says that the deployment may have changed what serves.
func (d *deployment) changing() bool {
	return d.State == api.StateCommitting || d.State == api.StateCommitted || d.State == api.StateReverting
}

// voted says that the deployment waits for what all hosts decide.
func (d *deployment) voted() bool {
	return d.Vote != nil && (d.State == api.StateCommitting || d.State == api.StateCommitted)
}

// held says that the deployment failed and stays as it is.
func (d *deployment) held() bool { return d.Held != nil && d.open() && d.State != api.StateReverting }

// open says that the deployment has not come to its end.
func (d *deployment) open() bool {
	return d.changing() || d.State == api.StatePreparing || d.State == api.StatePrepared
}

// journalEntry is one line of a deployment's journal, for people who look for
// what happened.
type journalEntry struct {
	Time  time.Time `json:"time"`
	Point string    `json:"point"`
	Text  string    `json:"text,omitempty"`
}

// amend changes a deployment on disk, with a line of the journal, and then in
// memory. It comes before the effect that it names. What is on disk is read
// again first: containers are retired beside other steps.
func (a *Agent) amend(w *work, point, text string, change func(d *deployment)) error {
	var next *deployment
	err := a.db.update(point, func(t *transaction) (err error) {
		next, err = t.amend(w.ID, point, text, change)
		return err
	})
	if err == nil {
		w.deployment = next
	}
	return err
}

func (t *transaction) amend(id, point, text string, change func(d *deployment)) (*deployment, error) {
	d, err := t.deployment(id)
	if err != nil || d == nil {
		return nil, missing(err, "deployment %s", id)
	}
	change(d)
	return d, t.journal(d, point, text)
}

func (t *transaction) journal(d *deployment, point, text string) error {
	if err := t.put(bucketDeployments, d.ID, d); err != nil {
		return err
	}
	return t.add(bucketJournal, d.ID, journalEntry{Time: time.Now().Round(0), Point: point, Text: text})
}

// deployment reads one; nil when there is none.
func (t *transaction) deployment(id string) (*deployment, error) {
	d := &deployment{}
	if found, err := t.get(bucketDeployments, id, d); err != nil || !found {
		return nil, err
	}
	return d, nil
}

func (t *transaction) release(id string) (*api.Release, error) {
	r := &api.Release{}
	if found, err := t.get(bucketReleases, id, r); err != nil || !found {
		return nil, err
	}
	return r, nil
}

// work is a deployment with everything that an operation on it needs.
type work struct {
	*deployment
	e       *environment
	release *api.Release
	placed  []placed
	old     *deployment // the release before; nil for none
	oldRel  *api.Release
	oldAt   []placed
	made    fingerprints // of the environment's containers
	sink    event.Sink
}

// load reads a deployment of an environment with its releases. One that is not
// known is a fault.
func (a *Agent) load(e *environment, id string, sink event.Sink) (*work, error) {
	w := &work{e: e}
	err := a.db.view(func(t *transaction) (err error) {
		if w.deployment, err = t.deployment(id); err != nil {
			return err
		}
		if w.deployment == nil {
			return api.Errorf(api.CodeNotFound, "deployment %s is not known on this host", id)
		}
		if w.release, err = t.release(id); err != nil || w.release == nil {
			return missing(err, "release of deployment %s", id)
		}
		if w.release.Project != e.project || w.release.Environment != e.name {
			return api.Errorf(api.CodeNotFound, "deployment %s is not of %s in %s", id, e.name, e.project)
		}
		r, err := t.record(e)
		if err != nil {
			return err
		}
		if w.made, err = t.fingerprints(&r); err != nil {
			return err
		}
		return w.loadOld(t)
	})
	if err != nil {
		return nil, err
	}
	if w.placed, err = placedOn(w.release, w.Host); err != nil {
		return nil, err
	}
	w.sink = a.sinkFor(w, sink)
	return w, nil
}

func (w *work) loadOld(t *transaction) (err error) {
	if w.From == "" {
		return nil
	}
	if w.old, err = t.deployment(w.From); err != nil || w.old == nil {
		return missing(err, "deployment %s, the release before", w.From)
	}
	if w.oldRel, err = t.release(w.From); err != nil || w.oldRel == nil {
		return missing(err, "release of deployment %s", w.From)
	}
	w.oldAt, err = placedOn(w.oldRel, w.old.Host)
	return err
}

func missing(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return api.Errorf(api.CodeInternal, "the state of this host has lost the "+format, args...)
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

// wire returns the deployment as callers see it.
func (d *deployment) wire(l *lease) *api.Deployment {
	out := &api.Deployment{
		ID: d.ID, Kind: d.Kind, State: d.State, ReleaseRef: api.RefTo(d.Release), FromRef: api.RefFrom(d.FromNumber),
		Actor: d.Actor, Fence: d.Fence, Started: d.Started, Deadline: time.Now().Round(0), Voted: d.voted(),
	}
	if d.held() {
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
