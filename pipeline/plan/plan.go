package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
)

// Input is what a plan is made of.
type Input struct {
	Desired pipeline.Release // with its placement; its name is what it will have, Number 0 when that is not known
	Hosts   []Observed       // the hosts of the environment

	// Strategies says how services are updated where that is not what the
	// file says, and why.
	Strategies map[string]Strategy
	Verify     []string // names of the verify commands
}

// Strategy is how a service is updated.
type Strategy struct {
	Name   string // pipeline.StrategyRolling and the like
	Reason string // why it is not the one in the file
}

// Observed is what one host runs.
type Observed = pipeline.Observed

// Drift is a difference on one of the hosts.
type Drift struct {
	Host string `json:"host"`
	pipeline.Drift
}

// Action says what happens to a service or a task.
type Action string

// Actions.
const (
	Create Action = "create"
	Update Action = "update"
	Remove Action = "remove"
	Keep   Action = "keep"
)

// Plan is what a deployment would do.
type Plan struct {
	Project     string                            `json:"project"`
	Environment string                            `json:"environment"`
	From        map[string]pipeline.ReleaseNumber `json:"from"` // by host; number 0 for none
	To          int                               `json:"to"`   // 0 when it is not known
	ToRevision  int                               `json:"to_revision,omitempty"`
	Hosts       []string                          `json:"hosts"`
	Changes     []Change                          `json:"changes"`       // services, then tasks, by name; also those that stay
	Held        pipeline.ReleaseNumber            `json:"held,omitzero"` // a release that failed and is held: deploying goes back from it first
	Drift       []Drift                           `json:"drift,omitempty"`
	Warnings    []string                          `json:"warnings,omitempty"`
	Seconds     float64                           `json:"seconds"` // see estimate
	Besides     []string                          `json:"besides"` // what takes time beyond Seconds: tasks, verify commands, people
	Pending     bool                              `json:"pending"` // something is to do, beside going back from Held
}

// Change is what happens to one service or task.
type Change struct {
	Kind      string  `json:"kind"` // service or task
	Name      string  `json:"name"`
	Action    Action  `json:"action"`
	Summary   string  `json:"summary,omitempty"` // "4 replicas, one at a time, no downtime"
	Fields    []Field `json:"fields,omitempty"`
	Instances int     `json:"instances,omitempty"` // in the new release
	Replaced  int     `json:"replaced,omitempty"`  // get a new container in their place
	Added     int     `json:"added,omitempty"`     // begin on a host
	Removed   int     `json:"removed,omitempty"`   // end on a host
	Moves     []Move  `json:"moves,omitempty"`
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
		Project: in.Desired.Project, Environment: in.Desired.Environment, To: in.Desired.Number,
		ToRevision: in.Desired.Revision, From: map[string]pipeline.ReleaseNumber{}, Changes: []Change{}, Besides: []string{},
	}
	c := &comparison{in: in, plan: p, base: newest(in.Hosts)}
	for _, h := range in.Hosts {
		p.Hosts = append(p.Hosts, h.Name)
		p.From[h.Name] = h.Current.ReleaseNumber()
		if h.Held.Compare(p.Held) > 0 {
			p.Held = h.Held
		}
		for _, d := range h.Drift {
			p.Drift = append(p.Drift, Drift{Host: h.Name, Drift: d})
		}
	}
	c.services()
	c.tasks()
	c.warn()
	p.Seconds = c.estimate()
	p.Pending = len(p.Drift) > 0 || slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action != Keep }) || c.behind()
	return p
}

// comparison is a Plan under construction.
type comparison struct {
	in   Input
	plan *Plan
	base *pipeline.Release // what the environment runs: the newest that a host has
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

// behind reports whether a host that should run something does not run the
// newest release.
func (c *comparison) behind() bool {
	return slices.ContainsFunc(c.in.Hosts, func(h Observed) bool {
		return c.base != nil && h.Current.ReleaseNumber() != c.base.ReleaseNumber() && len(c.in.Desired.Placement[h.Name]) > 0
	})
}

func (c *comparison) services() {
	want := servicesOf(&c.in.Desired)
	have := servicesOf(c.base)
	for _, name := range union(want, have) {
		c.plan.Changes = append(c.plan.Changes, c.service(name, have[name], want[name]))
	}
}

func (c *comparison) service(name string, have, want *pipeline.Service) Change {
	out := Change{Kind: "service", Name: name}
	c.count(&out)
	switch {
	case have == nil:
		out.Action = Create
		out.Summary = c.how(out, want)
		out.Fields = c.settings(name, want)
	case want == nil:
		out.Action, out.Summary = Remove, counted(out.Removed, "replica")
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

// settings are the fields of a new service that say most.
func (c *comparison) settings(name string, s *pipeline.Service) []Field {
	out := []Field{{Name: "image", New: c.imageText(c.in.Desired.Images[name], s.Image), Note: c.sendNote(c.in.Desired.Images[name].Digest)}}
	for _, p := range s.Ports {
		if p.Publish != 0 {
			out = append(out, Field{Name: "port." + p.Name, New: fmt.Sprintf("%d/%s", p.Publish, p.Protocol)})
		}
	}
	return out
}

// differences compares a service with itself in the release before.
func (c *comparison) differences(name string, have, want *pipeline.Service) []Field {
	fields := c.imageDifference(name, have.Image, want.Image)
	fields = append(fields, compareFields(have, want)...)
	for _, s := range want.Secrets {
		if field, ok := c.secretDifference(s.Name); ok {
			fields = append(fields, field)
		}
	}
	for i := range fields {
		if fields[i].Name == "memory" {
			fields[i].Note = c.memoryNote()
		}
	}
	return fields
}

func (c *comparison) imageDifference(key string, have, want pipeline.Image) []Field {
	before, after := c.base.Images[key], c.in.Desired.Images[key]
	if before.Digest == after.Digest && (after.Digest != "" || have == want) {
		return nil
	}
	return []Field{{Name: "image", Old: c.imageText(before, have), New: c.imageText(after, want), Note: c.sendNote(after.Digest)}}
}

// secretDifference says that a value is another, not which.
func (c *comparison) secretDifference(name string) (Field, bool) {
	before, after := c.base.Secrets[name], c.in.Desired.Secrets[name]
	if before == after || before == "" || after == "" { // a new secret is a new field already
		return Field{}, false
	}
	return Field{Name: "secret." + name, Old: "old value", New: "new value"}, true
}

func (c *comparison) tasks() {
	want, have := tasksOf(&c.in.Desired), tasksOf(c.base)
	for _, name := range union(want, have) {
		out := Change{Kind: "task", Name: name, Action: Keep}
		switch {
		case have[name] == nil:
			out.Action, out.Summary = Create, occasion(want[name])
		case want[name] == nil:
			out.Action = Remove
		default:
			out.Fields = append(c.imageDifference("task."+name, have[name].Image, want[name].Image), compareFields(have[name], want[name])...)
			for _, s := range want[name].Secrets {
				if field, ok := c.secretDifference(s.Name); ok {
					out.Fields = append(out.Fields, field)
				}
			}
			if len(out.Fields) > 0 {
				out.Action, out.Summary = Update, occasion(want[name])
			}
		}
		c.plan.Changes = append(c.plan.Changes, out)
	}
}

// occasion says when a task runs.
func occasion(t *pipeline.Task) string {
	switch {
	case t.Hook != "":
		return t.Hook
	case t.Schedule != "":
		return strings.TrimSpace(t.Schedule + " " + cmp.Or(t.TimeZone, "UTC"))
	}
	return "by hand"
}

// warn says what a deployment can't take along.
func (c *comparison) warn() {
	services := servicesOf(c.base)
	for _, change := range c.plan.Changes {
		s := services[change.Name]
		if change.Kind != "service" || s == nil || !keepsData(s) {
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

// union returns the names in either map, sorted.
func union[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}
