package ui

import (
	"io"
	"strings"
	"sync"
	"time"

	"dray/pipeline/event"
	"dray/pipeline/phrase"
)

// plainView writes one line an event that matters, with the time. Progress in
// between is left out: a pipe keeps every line.
type plainView struct {
	mu      sync.Mutex
	out     io.Writer
	waiting map[string]*time.Timer // hosts that are being connected to
}

// Patience is how long a connection may take without a word about it.
const Patience = time.Second

// Emit writes the event's line. That a host is being connected to is worth one
// only when it takes long.
func (v *plainView) Emit(e event.Event) {
	line := Line(e)
	if line == "" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Type == event.HostState {
		key := e.Environment + " " + e.Host
		if e.State == event.Connecting {
			v.await(key, func() { v.write(e.Time, line) })
			return
		}
		timer := v.waiting[key]
		delete(v.waiting, key)
		if timer != nil && timer.Stop() && e.State == event.Connected {
			return
		}
	}
	v.write(e.Time, line)
}

// await lets say be called unless the host answers before that.
func (v *plainView) await(key string, say func()) {
	if v.waiting == nil {
		v.waiting = map[string]*time.Timer{}
	}
	v.waiting[key] = time.AfterFunc(Patience, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		say()
	})
}

func (v *plainView) write(at time.Time, line string) {
	_, _ = io.WriteString(v.out, at.Local().Format("15:04:05")+" "+line+"\n") // as above
}

// Close forgets the hosts that have not answered.
func (v *plainView) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, timer := range v.waiting {
		timer.Stop()
	}
}

func (v *plainView) Leave() {}

func (v *plainView) Return() {}

// Line says an event in one line, or "" when it is not worth one.
func Line(e event.Event) string {
	where := place(e)
	switch e.Type {
	case event.RunStarted:
		return e.Text
	case event.StageStarted:
		return phrase.Words(where, e.Stage, stageSubject(e), "…")
	case event.StageFinished:
		if e.Error != "" {
			return phrase.Words(where, e.Stage, stageSubject(e), ending(e), "after", phrase.Seconds(e.Took))
		}
		return phrase.Words(where, e.Stage, stageSubject(e), phrase.Digest(e.Digest), "done in", phrase.Seconds(e.Took))
	case event.StepFinished:
		if e.Error != "" {
			return phrase.Words(where, e.Text, "failed") // the end says why
		}
		if e.Cached {
			return "" // nothing was done
		}
		return phrase.Words(where, e.Text, took(e.Took))
	case event.Output:
		return phrase.Words(where, "|", e.Text)
	case event.InstanceState:
		return phrase.Words(where, e.Instance, phrase.Because(e.State, e.Text))
	case event.HostState:
		if e.State == event.Prepared {
			return phrase.Words(where, "prepared"+sent(e.Done))
		}
		return phrase.Words(where, e.State, e.Text)
	case event.Warning:
		return phrase.Words(where, "warning:", e.Text, next(e.Next))
	case event.Notice:
		return phrase.Words(where, e.Text)
	}
	return ""
}

// ending is how a stage ended that did not come to its end.
func ending(e event.Event) string {
	if e.State == event.Cancelled {
		return e.State
	}
	return "failed"
}

func sent(n int64) string {
	if n == 0 {
		return ""
	}
	return ", " + phrase.Size(n) + " sent"
}

// place is "ENVIRONMENT HOST:", as far as they are known.
func place(e event.Event) string {
	p := phrase.Words(e.Environment, e.Host)
	if p == "" {
		return ""
	}
	return p + ":"
}

func stageSubject(e event.Event) string {
	if e.Stage == "deploy" {
		return "to " + e.Subject
	}
	return strings.TrimPrefix(e.Subject, e.Stage+" ")
}

func next(command string) string {
	if command == "" {
		return ""
	}
	return "(next: " + command + ")"
}

func took(s float64) string {
	if s < 0.05 {
		return ""
	}
	return phrase.Seconds(s)
}
