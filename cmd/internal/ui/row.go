package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"dray/pipeline/event"
	"dray/pipeline/phrase"
)

// row is one stage on the terminal: a build, a push, or a rollout with a line
// for each of its hosts.
type row struct {
	key      string
	name     string // build, push, verify, or the environment
	subject  string
	began    time.Time
	progress meter // bytes that move
	walked   meter // steps of a build
	steps    int
	cached   int
	now      string // the step that it is at
	what     string // the bytes' doing: transferring, storing
	said     string // the last line of output
	hosts    []*hostRow
	parts    []event.Event // verify commands and tasks: the last event of each
	staged   bool          // a stage has begun
	ended    *event.Event
}

// hostRow is one host of a rollout.
type hostRow struct {
	name      string
	state     string
	progress  meter
	received  int64
	instances []instanceState
}

type instanceState struct{ name, state, note string }

func newRow(key string, e event.Event) *row {
	name, subject := e.Stage, rowSubject(e)
	if e.Environment != "" {
		name, subject = e.Environment, ""
	}
	return &row{key: key, name: name, subject: subject, began: e.Time}
}

// take keeps what an event tells.
func (r *row) take(e event.Event) {
	if e.Host != "" {
		r.host(e.Host).take(e)
		return
	}
	switch e.Type {
	case event.Progress:
		if e.Unit == "steps" {
			r.walked.set(e)
			if r.now != e.Text {
				r.now, r.said = e.Text, ""
			}
			return
		}
		r.progress.set(e)
		r.what = e.Text
	case event.StepFinished:
		r.steps++
		if e.Cached {
			r.cached++
		}
	case event.Output:
		r.said = e.Text
	}
}

// part keeps the start or the end of a stage inside the rollout.
func (r *row) part(e event.Event) {
	for i := range r.parts {
		if r.parts[i].Stage == e.Stage && r.parts[i].Subject == e.Subject {
			r.parts[i] = e
			return
		}
	}
	r.parts = append(r.parts, e)
}

// onlyConnects says that no stage has begun in the row: hosts were connected to,
// for a verb that asks them something.
func (r *row) onlyConnects() bool {
	return !r.staged && len(r.hosts) > 0 && !slices.ContainsFunc(r.hosts, func(h *hostRow) bool { return len(h.instances) > 0 })
}

func (r *row) end(e event.Event) { r.ended = &e }

func (r *row) host(name string) *hostRow {
	for _, h := range r.hosts {
		if h.name == name {
			return h
		}
	}
	h := &hostRow{name: name}
	r.hosts = append(r.hosts, h)
	slices.SortFunc(r.hosts, func(a, b *hostRow) int { return strings.Compare(a.name, b.name) })
	return h
}

func (h *hostRow) take(e event.Event) {
	switch e.Type {
	case event.HostState:
		h.state = e.State
		if e.State == event.Prepared {
			h.received = e.Done
			h.progress = meter{}
		}
	case event.Progress:
		h.progress.set(e)
	case event.InstanceState:
		for i := range h.instances {
			if h.instances[i].name == e.Instance {
				if h.instances[i].state == event.Switched && retiring(e.State) {
					return // that is the old container, on its way out
				}
				h.instances[i].state, h.instances[i].note = e.State, e.Text
				return
			}
		}
		h.instances = append(h.instances, instanceState{e.Instance, e.State, e.Text})
		slices.SortFunc(h.instances, func(a, b instanceState) int { return strings.Compare(a.name, b.name) })
	}
}

func retiring(state string) bool {
	return state == event.Draining || state == event.Stopped || state == event.Removed
}

// text draws the row as it is at now, each line with its newline.
func (r *row) text(v *terminalView, now time.Time) string {
	clock := now.Sub(r.began).Seconds()
	if r.ended != nil {
		clock = r.ended.Took
	}
	if len(r.hosts) > 0 {
		return r.rollout(v, clock)
	}
	line := v.paint(bold, runewidth.FillRight(r.name, 6)) + " " + runewidth.FillRight(r.subject, 8) + " "
	switch {
	case r.ended != nil && r.ended.Error != "":
		return line + v.paint(red, "✗ "+ending(*r.ended)) + "  " + phrase.Seconds(clock) + "\n"
	case r.ended != nil:
		return line + v.paint(green, "✓ ") + phrase.Words(r.summary(), phrase.Digest(r.ended.Digest)) + "  " + phrase.Seconds(clock) + "\n"
	}
	moved := ""
	if r.progress.total > r.progress.done {
		moved = phrase.Words(r.what, r.progress.amount())
	}
	return line + spaced(phrase.Words(r.walked.bar(), r.walked.amount()), moved, phrase.Seconds(clock), v.paint(dim, r.doing())) + "\n"
}

// doing is the step that runs, and what it said last.
func (r *row) doing() string {
	if r.said == "" || r.now == "" {
		return phrase.Words(r.now, r.said)
	}
	return runewidth.Truncate(r.now, 32, "…") + " | " + r.said
}

func (r *row) summary() string {
	if r.steps == 0 {
		return ""
	}
	return fmt.Sprintf("%s, %d cached", phrase.Count(r.steps, "step"), r.cached)
}

// rollout draws a line for each host.
func (r *row) rollout(v *terminalView, clock float64) string {
	var b strings.Builder
	name := r.name
	for i, h := range r.hosts {
		end := ""
		if i == len(r.hosts)-1 {
			end = phrase.Seconds(clock)
		}
		fmt.Fprintf(&b, "%s %s %s\n", v.paint(bold, runewidth.FillRight(name, 6)), runewidth.FillRight(h.name, 8), spaced(h.text(v), end))
		name = ""
	}
	for _, p := range r.parts {
		fmt.Fprintf(&b, "%-15s %s\n", "", partText(v, p))
	}
	return b.String()
}

func partText(v *terminalView, e event.Event) string {
	what := phrase.Words(e.Stage, stageSubject(e))
	switch {
	case e.Type == event.StageStarted:
		return what + " ▸ " + phrase.Seconds(time.Since(e.Time).Seconds())
	case e.Error != "":
		return what + " " + v.paint(red, "✗ "+ending(e)) + " " + phrase.Seconds(e.Took)
	}
	return what + " " + v.paint(green, "✓") + " " + phrase.Seconds(e.Took)
}

func (h *hostRow) text(v *terminalView) string {
	var parts []string
	if len(h.instances) == 0 || h.progress.total > 0 {
		parts = append(parts, v.paint(dim, h.state), h.progress.bar(), h.progress.amount())
	}
	parts = []string{phrase.Words(parts...)}
	if len(h.instances) > mostInstances {
		parts = append(parts, h.summary(v)...)
	} else {
		for _, i := range h.instances {
			parts = append(parts, i.name+" "+v.instance(i))
		}
	}
	if h.received > 0 {
		parts = append(parts, v.paint(dim, phrase.Size(h.received)+" sent"))
	}
	return spaced(parts...)
}

// mostInstances is how many instances of a host are shown one by one.
const mostInstances = 6

// summary counts the instances of each service by their state.
func (h *hostRow) summary(v *terminalView) []string {
	var keys []string
	counts, example := map[string]int{}, map[string]instanceState{}
	for _, i := range h.instances {
		service, _, _ := strings.Cut(i.name, "/")
		key := service + " " + i.state
		if counts[key]++; counts[key] == 1 {
			keys = append(keys, key)
			example[key] = instanceState{name: service, state: i.state}
		}
	}
	for n, key := range keys {
		keys[n] = fmt.Sprintf("%s %d %s", example[key].name, counts[key], v.instance(example[key]))
	}
	return keys
}

// spaced joins with two blanks what is not empty.
func spaced(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "  ")
}

func (v *terminalView) instance(i instanceState) string {
	switch i.state {
	case event.Healthy, event.Switched, event.Staged, event.Stopped, event.Draining:
		return v.paint(green, "✓ "+i.state)
	case event.Unhealthy, event.Failed:
		return v.paint(red, "✗ "+phrase.Because(i.state, i.note))
	case event.Reverted:
		return v.paint(yellow, "↩ "+i.state)
	}
	return "▸ " + phrase.Words(i.state, i.note)
}

// meter measures something that moves.
type meter struct {
	done, total int64
	unit        string
	began       time.Time
	from        int64 // amount at began
}

func (m *meter) set(e event.Event) {
	if m.began.IsZero() || e.Done < m.done {
		m.began, m.from = e.Time, e.Done
	}
	m.done, m.total, m.unit = e.Done, e.Total, e.Unit
}

const barWidth = 16

func (m *meter) bar() string {
	if m.total <= 0 {
		return ""
	}
	filled := int(min(m.done, m.total) * barWidth / m.total)
	return "[" + strings.Repeat("█", filled) + strings.Repeat("·", barWidth-filled) + "]"
}

// amount says how much of how much, how fast, and how long it takes yet.
func (m *meter) amount() string {
	if m.total <= 0 {
		return ""
	}
	if m.unit != "bytes" {
		return fmt.Sprintf("%d/%d", m.done, m.total)
	}
	text := phrase.Size(m.done) + " of " + phrase.Size(m.total)
	passed := time.Since(m.began).Seconds()
	if rate := float64(m.done-m.from) / max(passed, 0.001); passed > 0.3 && rate > 1 {
		text += fmt.Sprintf(", %s/s, %s left", phrase.Size(int64(rate)), phrase.Seconds(float64(m.total-m.done)/rate))
	}
	return text
}
