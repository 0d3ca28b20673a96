package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// Input is what a plan is made of.
type Input struct {
	Desired  pipeline.Release // with its placement; its name is what it will have, Number 0 when that is not known
	Promotes bool             // it comes from another environment and keeps its number: where another number runs, it is brought though its content is the same
	Hosts    []Observed       // the hosts of the environment
	Verify   []string         // names of the verify commands
	Foresee  Foresee          // deploy/strategy's answer
}

// Foresee says how the instances of a service are replaced, of which these
// change and count are in the new release.
type Foresee func(s *pipeline.Service, changed []Placed, count int) Outlook

// Placed is an instance and where it runs.
type Placed struct {
	Host string
	Name string // "web/2"
}

// Outlook is what a plan says of a rollout. deploy/strategy reads it off the
// batches that a deployment walks: batches are no business of a plan.
type Outlook struct {
	Pace       string // "one at a time"; "" where fewer than two instances change
	Downtime   string // "no downtime", or why there is some
	Batches    int    // that start containers, one after the other
	StopsFirst bool   // the old container stops before its successor starts
	Asks       bool   // somebody must say yes after the canary
}

// Observed is what one host runs.
type Observed = pipeline.Observed

// Drift is a difference on one of the hosts.
type Drift struct {
	Host string `json:"host"`
	pipeline.Drift
}

// Action says what happens to a service, a task or a setting of the environment.
type Action string

// Actions.
const (
	Create Action = "create"
	Update Action = "update"
	Remove Action = "remove"
	Keep   Action = "keep"
)

// Kinds of what changes.
const (
	KindEnvironment = "environment"
	KindService     = "service"
	KindTask        = "task"
)

// Plan is what a deployment would do.
type Plan struct {
	Project     string                            `json:"project"`
	Environment string                            `json:"environment"`
	From        map[string]pipeline.ReleaseNumber `json:"from"` // by host; number 0 for none
	To          int                               `json:"to"`   // 0 when it is not known
	ToRevision  int                               `json:"to_revision,omitempty"`
	Hosts       []string                          `json:"hosts"`
	Changes     []Change                          `json:"changes"`        // the environment, services, then tasks, by name; also those that stay
	Paused      pipeline.ReleaseNumber            `json:"held,omitzero"`  // a release that failed and is kept for inspection: deploying goes back from it first
	Send        map[string]pipeline.Bytes         `json:"send,omitempty"` // by host: bytes that it lacks; none where that is not known
	Drift       []Drift                           `json:"drift,omitempty"`
	Opens       []Opening                         `json:"opens,omitempty"` // ports that become reachable from outside
	Warnings    []string                          `json:"warnings,omitempty"`
	Seconds     float64                           `json:"seconds"` // see estimate
	Besides     []string                          `json:"besides"` // what takes time beyond Seconds: tasks, verify commands, people
	Pending     bool                              `json:"pending"` // a deployment would change something, beside going back from Paused

	in Input // for Save
}

// Change is what happens to one service or task, or to what the environment
// keeps.
type Change struct {
	Kind      string  `json:"kind"`
	Name      string  `json:"name"`
	Action    Action  `json:"action"`
	Summary   string  `json:"summary,omitempty"` // "4 replicas, one at a time, no downtime"
	Fields    []Field `json:"fields,omitempty"`
	Instances int     `json:"instances,omitempty"` // in the new release
	Replaced  int     `json:"replaced,omitempty"`  // get a new container in their place
	Added     int     `json:"added,omitempty"`     // begin on a host
	Removed   int     `json:"removed,omitempty"`   // end on a host
	Moves     []Move  `json:"moves,omitempty"`
	Steps     []Step  `json:"steps,omitempty"` // every instance that a deployment touches; also what drifted of a service that stays
}

// What happens to an instance on a host.
const (
	StepReplace  = "replace"  // a new container takes over from the old one
	StepRecreate = "recreate" // the old container stops before the new one starts
	StepStart    = "start"    // its container stands still, and starts again
	StepAdd      = "add"      // it begins on this host
	StepRemove   = "remove"   // it ends on this host
)

// Step is what happens to one instance.
type Step struct {
	Instance string `json:"instance"`
	Host     string `json:"host"`
	Action   string `json:"action"`
}

// Field is one difference. Old or New is empty where there is none.
type Field struct {
	Name string `json:"name"` // "image", "env.LOG_LEVEL", "port.http.publish"
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
	Note string `json:"note,omitempty"`
}

// Move is an instance that goes to another host.
type Move struct {
	Instance string `json:"instance"`
	From     string `json:"from"`
	To       string `json:"to"`
}

// New compares.
func New(in Input) *Plan {
	p := &Plan{
		in:      in,
		Project: in.Desired.Project, Environment: in.Desired.Environment, To: in.Desired.Number,
		ToRevision: in.Desired.Revision, From: map[string]pipeline.ReleaseNumber{}, Changes: []Change{}, Besides: []string{},
	}
	c := &comparison{in: in, plan: p, base: newest(in.Hosts), outlooks: map[string]Outlook{}}
	for _, h := range in.Hosts {
		p.Hosts = append(p.Hosts, h.Name)
		p.From[h.Name] = h.Current.ReleaseNumber()
		if h.Paused.Compare(p.Paused) > 0 {
			p.Paused = h.Paused
		}
		for _, d := range h.Drift {
			p.Drift = append(p.Drift, Drift{Host: h.Name, Drift: d})
		}
		if h.Send != nil {
			if p.Send == nil {
				p.Send = map[string]pipeline.Bytes{}
			}
			p.Send[h.Name] = h.SendAll
		}
	}
	p.Pending = c.pending()
	c.environment()
	c.services()
	c.tasks()
	c.places()
	c.opens()
	c.warn()
	if p.Pending {
		c.besides()
		p.Seconds = c.estimate()
	}
	return p
}

// comparison is a Plan under construction.
type comparison struct {
	in       Input
	plan     *Plan
	base     *pipeline.Release  // what the environment runs: the newest that a host has
	outlooks map[string]Outlook // by service, where instances change
}

// pending reports whether a deployment would change anything. It asks what a
// deployment asks before it does nothing.
func (c *comparison) pending() bool {
	current := make([]*pipeline.Release, 0, len(c.in.Hosts))
	for _, h := range c.in.Hosts {
		if len(h.Drift) > 0 {
			return true
		}
		current = append(current, h.Current)
	}
	n, same := c.in.Desired.RunsEverywhere(current)
	return !same || (c.in.Promotes && n.Number != c.in.Desired.Number)
}

func newest(hosts []Observed) *pipeline.Release {
	var out *pipeline.Release
	for _, h := range hosts {
		if h.Current.ReleaseNumber().Compare(out.ReleaseNumber()) > 0 {
			out = h.Current
		}
	}
	return out
}

// environment compares what hosts keep to beside services and tasks.
func (c *comparison) environment() {
	if c.base == nil || c.base.Retain == c.in.Desired.Retain {
		return
	}
	c.changeEnvironment(Field{Name: "retain", Old: fmt.Sprint(c.base.Retain), New: fmt.Sprint(c.in.Desired.Retain)})
}

// places tells of the hosts where no other change does: what ran on one that
// leaves runs on the others already, so no service changes, and the release does.
func (c *comparison) places() {
	told := slices.ContainsFunc(c.plan.Changes, func(x Change) bool { return x.Action != Keep })
	if c.base == nil || told {
		return
	}
	if old, now := placedHosts(c.base), placedHosts(&c.in.Desired); !slices.Equal(old, now) {
		c.changeEnvironment(Field{Name: "hosts", Old: strings.Join(old, ", "), New: strings.Join(now, ", ")})
	}
}

func (c *comparison) changeEnvironment(f Field) {
	c.plan.Changes = append(c.plan.Changes, Change{
		Kind: KindEnvironment, Name: c.in.Desired.Environment, Action: Update, Summary: "nothing restarts", Fields: []Field{f},
	})
}

// placedHosts lists the hosts on which a release has anything.
func placedHosts(r *pipeline.Release) (hosts []string) {
	for host, names := range r.Placement {
		if len(names) > 0 {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

func (c *comparison) services() {
	want := servicesOf(&c.in.Desired)
	have := servicesOf(c.base)
	all := have
	for _, h := range c.in.Hosts { // one that missed the newest release may run what is in no other
		all = merged(all, servicesOf(h.Current))
	}
	for _, name := range union(want, all) {
		c.plan.Changes = append(c.plan.Changes, c.service(name, have[name], want[name]))
	}
}

func (c *comparison) service(name string, have, want *pipeline.Service) Change {
	out := Change{Kind: KindService, Name: name}
	c.instances(&out, want)
	switch {
	case want == nil:
		out.Action, out.Summary = Remove, phrase.Count(out.Removed, "replica")
	case have == nil:
		out.Action = Create
		out.Summary = c.how(out, want)
		out.Fields = c.settings(name, want)
	default:
		out.Action = Keep
		out.Fields = c.differences(name, have, want)
		if len(out.Fields) > 0 || out.Added+out.Removed+out.Replaced > 0 {
			out.Action = Update
			out.Summary = c.how(out, want)
		}
	}
	return out
}

func (c *comparison) tasks() {
	want, have := tasksOf(&c.in.Desired), tasksOf(c.base)
	for _, name := range union(want, have) {
		out := Change{Kind: KindTask, Name: name, Action: Keep}
		switch {
		case have[name] == nil:
			out.Action, out.Summary = Create, occasion(want[name])
			if image := c.in.Desired.Images["task."+name]; c.lacked(image.Digest) {
				out.Fields = []Field{{Name: "image", New: c.imageText(image, want[name].Image), Note: c.sendNote(image.Digest)}}
			}
		case want[name] == nil:
			out.Action = Remove
		default:
			out.Fields = c.taskDifferences(name, have[name], want[name])
			if len(out.Fields) > 0 {
				out.Action, out.Summary = Update, occasion(want[name])
			}
		}
		c.plan.Changes = append(c.plan.Changes, out)
	}
}

// warn says what a deployment can't take along.
func (c *comparison) warn() {
	services := servicesOf(c.base)
	for _, change := range c.plan.Changes {
		s := services[change.Name]
		if change.Kind != KindService || s == nil || !KeepsData(s) {
			continue
		}
		for _, m := range change.Moves {
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("%s goes from %s to %s; the data of its volumes stays on %[2]s", m.Instance, m.From, m.To))
		}
	}
}

func servicesOf(r *pipeline.Release) map[string]*pipeline.Service {
	out := map[string]*pipeline.Service{}
	if r != nil {
		for i := range r.Services {
			out[r.Services[i].Name] = &r.Services[i]
		}
	}
	return out
}

func tasksOf(r *pipeline.Release) map[string]*pipeline.Task {
	out := map[string]*pipeline.Task{}
	if r != nil {
		for i := range r.Tasks {
			out[r.Tasks[i].Name] = &r.Tasks[i]
		}
	}
	return out
}

// merged returns the entries of both; a's where both have one.
func merged[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(b)
	maps.Copy(out, a)
	return out
}

// union returns the names in either map, sorted.
func union[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}
