// Package event defines the facts that dray reports while it works. Every
// part emits them through one Sink; cmd/dray renders them for a terminal, for
// a pipe, or as JSON, one a line (--json). Agents stream the same values back
// to the client.
//
// An event says what happened, never how to draw it. A reader must ignore
// types and fields that it does not know; Version grows only when the meaning
// of an existing one changes. No event carries a secret's value.
package event

import "time"

// Version is the value of every event's "v".
const Version = 1

// Type names what an event says; the comment gives the fields that it sets
// beside Time, Stage, Environment, Host, Service and Instance.
type Type string

// Types of event.
const (
	RunStarted    Type = "run.started"    // Text: the verb; Project, Release, Source
	RunFinished   Type = "run.finished"   // Text: what is true now; Next; Code
	StageStarted  Type = "stage.started"  // Stage and Subject
	StageFinished Type = "stage.finished" // Stage and Subject; Took; Error when it failed; State "cancelled" when something else was the reason
	Progress      Type = "progress"       // Subject (a stable id of the thing that moves), Text, Done, Total; Unit "bytes" or "steps"
	StepFinished  Type = "step.finished"  // Subject, Text; Cached; Took: one build step, one layer, one check
	Output        Type = "output"         // Subject, Stream, Text: a line that a build step, a container or a command printed
	InstanceState Type = "instance.state" // Instance, State, Text: staged, starting, healthy, unhealthy, switched, draining, stopped, removed, reverted, failed
	HostState     Type = "host.state"     // State: connecting, connected, installing, ready, prepared, unreachable
	Warning       Type = "warning"        // Text; Next
	Notice        Type = "notice"         // Text
	Failure       Type = "failure"        // Text (what failed and where), Detail (why, last words), Conclusion (what state things are in), Next
)

// States of an instance, a host and a stage.
const (
	Staged      = "staged"
	Starting    = "starting"
	Healthy     = "healthy"
	Unhealthy   = "unhealthy"
	Switched    = "switched"
	Draining    = "draining"
	Stopped     = "stopped"
	Removed     = "removed"
	Reverted    = "reverted"
	Failed      = "failed"
	Connecting  = "connecting"
	Connected   = "connected"
	Installing  = "installing"
	Ready       = "ready"
	Prepared    = "prepared"
	Unreachable = "unreachable"
	Cancelled   = "cancelled"
)

// Event is one fact.
type Event struct {
	Version     int       `json:"v"`
	Time        time.Time `json:"time"`
	Type        Type      `json:"type"`
	Stage       string    `json:"stage,omitempty"` // build, push, deploy, task, verify, promote, rollback, …
	Project     string    `json:"project,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Host        string    `json:"host,omitempty"`
	Service     string    `json:"service,omitempty"`
	Instance    string    `json:"instance,omitempty"` // "web/2"
	Release     int       `json:"release,omitempty"`
	Revision    int       `json:"revision,omitempty"` // of the release; see pipeline.ReleaseNumber
	Digest      string    `json:"digest,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	State       string    `json:"state,omitempty"`
	Text        string    `json:"text,omitempty"`
	Detail      string    `json:"detail,omitempty"`
	Conclusion  string    `json:"conclusion,omitempty"`
	Next        string    `json:"next,omitempty"`
	Stream      string    `json:"stream,omitempty"` // stdout, stderr
	Done        int64     `json:"done,omitempty"`
	Total       int64     `json:"total,omitempty"` // 0 when it is not known
	Unit        string    `json:"unit,omitempty"`
	Cached      bool      `json:"cached,omitempty"`
	Took        float64   `json:"took,omitempty"` // seconds
	Code        int       `json:"code,omitempty"` // exit code
	Error       string    `json:"error,omitempty"`
}

// Sink takes events. It must be safe for concurrent use and must not block
// for long.
type Sink interface {
	Emit(Event)
}

// Func is a function used as a Sink.
type Func func(Event)

// Emit calls f.
func (f Func) Emit(e Event) { f(e) }

// Discard is a Sink that drops everything.
var Discard Sink = Func(func(Event) {})

// Redacted is the event with redact applied to whatever may hold what others
// wrote; names and states stay.
func (e Event) Redacted(redact func(string) string) Event {
	for _, text := range []*string{&e.Text, &e.Detail, &e.Conclusion, &e.Next, &e.Error, &e.Subject} {
		*text = redact(*text)
	}
	return e
}

// With returns a Sink that stamps version and time and lets fill set what a
// caller knows of every event (the environment, the host) before passing it
// to next.
func With(next Sink, fill func(*Event)) Sink {
	return Func(func(e Event) {
		e = Stamped(e)
		fill(&e)
		next.Emit(e)
	})
}

// Stamped gives e a version and a time where it has none yet.
func Stamped(e Event) Event {
	if e.Version == 0 {
		e.Version = Version
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return e
}
