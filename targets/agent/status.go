package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// observe returns everything that this host knows of an environment.
func (a *Agent) observe(e *environment) (*api.Environment, error) {
	out := &api.Environment{Project: e.project, Name: e.name, Previous: []api.ReleaseNumber{}, Instances: []api.InstanceStatus{}}
	known, err := a.observeInto(e, out)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, api.Errorf(api.CodeNotFound, "%s of %s was never deployed to this host", e.name, e.project)
	}
	if out.Volumes, err = a.parts.Volumes.List(e.network()); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lease.live() {
		out.Lease = e.lease.wire()
	}
	if out.Deployment != nil && out.Lease != nil {
		out.Deployment.Deadline = out.Lease.Until
	}
	return out, nil
}

func (a *Agent) observeInto(e *environment, out *api.Environment) (known bool, err error) {
	containers := a.containers()
	err = a.journal.View(func(t *journal.Tx) error {
		var r journal.Environment
		if r, known, err = t.Environment(e.project, e.name); err != nil || !known {
			return err
		}
		out.LastNumber, out.Since, out.Approvals = r.LastNumber, r.Since, r.Approvals
		if frozen(&r) != nil {
			out.Freeze = r.Freeze
		}
		return observeRecord(t, &r, containers, a.containersOf(e), out)
	})
	a.redactReasons(out.Instances, out.Kept, out.Runs)
	return known, err
}

func observeRecord(t *journal.Tx, r *journal.Environment, containers map[string]runtime.Container, mine []runtime.Container, out *api.Environment) error {
	for _, id := range r.Stable {
		if d, err := t.Deployment(id); err != nil {
			return err
		} else if d != nil {
			out.Previous = append(out.Previous, d.Release)
		}
	}
	owner := map[string]api.ReleaseNumber{} // container → release
	var current *journal.Deployment
	for _, id := range []string{r.Open, r.Current} {
		d, err := t.Deployment(id)
		if err != nil || d == nil {
			continue
		}
		for _, c := range d.Containers {
			owner[c] = d.Release
		}
		if id == r.Current {
			current = d
		} else {
			out.Deployment = wireDeployment(d, nil)
		}
	}
	if current != nil {
		release, err := t.Release(r.Current)
		if err != nil {
			return err
		}
		out.Current, out.Deployed = release, r.Current
		if r.Open == "" {
			made, err := fingerprintsOf(t, r)
			if err != nil {
				return err
			}
			out.Drift = drift(release, current, made, r.Ended, containers, mine)
		}
	}
	for id, release := range owner {
		out.Instances = append(out.Instances, statusOf(id, release, containers, r.Serving))
	}
	for _, c := range mine {
		release, _, _ := parseNumber(c.Spec.Labels[runtime.LabelRelease]) // dray wrote it
		s := statusOf(c.ID, release, containers, nil)
		if _, owned := owner[c.ID]; !owned && !runsOnce(c) {
			out.Kept = append(out.Kept, s)
		}
		if runsOnce(c) {
			s.Instance = c.Spec.Labels[runtime.LabelRun] + runSuffix
			if task := c.Spec.Labels[runtime.LabelTask]; task != "" {
				s.Instance = taskPrefix + task
			}
			out.Runs = append(out.Runs, s)
		}
	}
	slices.SortFunc(out.Runs, func(a, b api.InstanceStatus) int { return strings.Compare(a.Name, b.Name) })
	byInstance := func(a, b api.InstanceStatus) int {
		return cmp.Or(strings.Compare(a.Instance, b.Instance), a.ReleaseNumber().Compare(b.ReleaseNumber()))
	}
	slices.SortFunc(out.Instances, byInstance)
	slices.SortFunc(out.Kept, byInstance)
	return nil
}

// statusOf describes one container of a release.
func statusOf(id string, release api.ReleaseNumber, containers map[string]runtime.Container, serving map[string]string) api.InstanceStatus {
	c, exists := containers[id]
	s := api.InstanceStatus{ReleaseRef: api.RefTo(release), ContainerID: id, State: "missing", Health: api.HealthNone}
	for instance, container := range serving {
		if container == id {
			s.Instance = instance
			s.Serving = exists && runs(c)
		}
	}
	if !exists {
		return s
	}
	s.Instance, s.Name, s.Image = c.Spec.Labels[runtime.LabelInstance], c.Spec.Name, c.Spec.Image
	s.State, s.Started, s.Finished = string(c.State), c.Started, c.Finished
	s.Restarts, s.ExitCode, s.OOMKilled, s.Reason = c.Restarts, c.ExitCode, c.OOMKilled, c.Error
	if c.Address.IsValid() {
		s.Address = c.Address.String()
	}
	if c.Spec.Check != nil {
		s.Health, s.HealthSince = c.Health.Status, c.Health.Since
		if s.Health == api.HealthUnhealthy {
			s.Reason = c.Health.Last
		}
	}
	return s
}

// statuses describes the containers of a deployment.
func (a *Agent) statuses(w *work) []api.InstanceStatus { return a.statusesOf(w.Deployment, w.e) }

func (a *Agent) statusesOf(d *journal.Deployment, e *environment) []api.InstanceStatus {
	out := []api.InstanceStatus{}
	r, err := a.read(e)
	if d == nil || err != nil {
		return out
	}
	containers := a.containers()
	for _, instance := range sortedKeys(d.Containers) {
		s := statusOf(d.Containers[instance], d.Release, containers, r.Serving)
		s.Instance = instance
		out = append(out, s)
	}
	return out
}

// drift lists what runs otherwise than the current release says. The last
// deployment ended at ended: what it replaced may drain since then.
func drift(r *api.Release, d *journal.Deployment, made fingerprints, ended time.Time, containers map[string]runtime.Container, mine []runtime.Container) []api.Drift {
	var out []api.Drift
	add := func(kind, instance, format string, args ...any) {
		out = append(out, api.Drift{Kind: kind, Instance: instance, Detail: fmt.Sprintf(format, args...)})
	}
	at, err := placedOn(r, d.Host)
	if err != nil {
		add("changed", "", "%v", err)
	}
	for _, p := range at {
		c, exists := containers[d.Containers[p.instance]]
		switch {
		case !exists:
			add("missing", p.instance, "its container is gone")
		case c.State == runtime.Broken:
			add("changed", p.instance, "container %s is broken: %s", c.Spec.Name, c.Error)
		case c.State == runtime.Exited && !c.Wanted:
			add("stopped", p.instance, "container %s was stopped %s", c.Spec.Name, ago(c.Finished))
		case c.State == runtime.Paused:
			add("stopped", p.instance, "container %s is paused", c.Spec.Name)
		case made.of(c) != p.fingerprint:
			add("changed", p.instance, "container %s was made from another configuration", c.Spec.Name)
		}
	}
	ours := slices.Collect(maps.Values(d.Containers))
	for _, c := range mine {
		if runs(c) && !slices.Contains(ours, c.ID) && !runsOnce(c) && !drains(c, r, d, ended) {
			add("extra", c.Spec.Labels[runtime.LabelInstance], "container %s runs and is not part of %s", c.Spec.Name, releaseWord(r.ReleaseNumber()))
		}
	}
	return out
}

// retireSlack is what retiring may take beyond the times of the file, on a busy
// host.
const retireSlack = 5 * time.Second

// drains says that a container of an earlier release may not have ended yet:
// connections are given their time, and it its own.
func drains(c runtime.Container, r *api.Release, d *journal.Deployment, ended time.Time) bool {
	if c.Spec.Labels[runtime.LabelDeployment] == d.ID {
		return false
	}
	var given time.Duration
	for i := range r.Services {
		given = max(given, r.Services[i].Update.Drain.D()+r.Services[i].Stop.Grace.D())
	}
	return time.Since(ended) < given+retireSlack
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "by hand"
	}
	return time.Since(t).Round(time.Second).String() + " ago"
}

// releases returns the releases that this host keeps, newest first.
func (a *Agent) releases(e *environment) ([]api.Release, error) {
	out := []api.Release{}
	err := a.journal.View(func(t *journal.Tx) error {
		r, _, err := t.Environment(e.project, e.name)
		if err != nil {
			return err
		}
		ids := r.Stable
		if r.Current != "" {
			ids = slices.Insert(slices.Clone(r.Stable), 0, r.Current)
		}
		for _, id := range ids {
			release, err := t.Release(id)
			if err != nil {
				return err
			}
			if release != nil {
				out = append(out, *release)
			}
		}
		return nil
	})
	return out, err
}

// environmentList returns every environment of a project, or of all with "".
func (a *Agent) environmentList(project string) ([]api.Environment, error) {
	out := []api.Environment{}
	var all []*environment
	err := a.journal.View(func(t *journal.Tx) error {
		return t.EachEnvironment(func(_ string, r journal.Environment, _ error) error {
			if project == "" || r.Project == project {
				all = append(all, a.environmentOf(r.Project, r.Name))
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		env, err := a.observe(e)
		if err != nil { // it is broken; the others are told all the same
			env = &api.Environment{
				Project: e.project, Name: e.name, Previous: []api.ReleaseNumber{}, Instances: []api.InstanceStatus{},
				Drift: []api.Drift{{Kind: "changed", Detail: err.Error()}},
			}
		}
		out = append(out, *env)
	}
	return out, nil
}

// storedEvidence returns the newest statement about a release.
func (a *Agent) storedEvidence(e *environment, number string) (json.RawMessage, error) {
	release, _, err := parseNumber(number)
	if err != nil {
		return nil, err
	}
	var found json.RawMessage
	err = a.journal.View(func(t *journal.Tx) error {
		return t.EachStatement(e.key(), func(s journal.Statement) error {
			if s.Release == release {
				found = s.Envelope
			}
			return nil
		})
	})
	if err == nil && found == nil {
		err = api.Errorf(api.CodeNotFound, "%s was never confirmed in %s on this host", releaseWord(release), e.name)
	}
	return found, err
}

// tellChange passes what happens to a container to those who watch the host.
func (a *Agent) tellChange(c runtime.Change) {
	state := map[string]string{
		"start": event.Starting, "die": event.Stopped, "oom": event.Failed, "destroy": event.Removed,
		"health_status: healthy": event.Healthy, "health_status: unhealthy": event.Unhealthy,
	}[c.Action]
	if state == "" {
		return
	}
	labels := c.Container.Spec.Labels
	release, _, _ := parseNumber(labels[runtime.LabelRelease]) // none where it is none of a release
	a.events.Emit(event.Event{
		Version: event.Version, Time: c.Time, Type: event.InstanceState, State: state,
		Project: labels[runtime.LabelProject], Environment: labels[runtime.LabelEnvironment],
		Service: labels[runtime.LabelService], Instance: labels[runtime.LabelInstance],
		Release: release.Number, Revision: release.Revision, Text: cmp.Or(c.Container.Health.Last, c.Container.Error),
	})
}
