package buildkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"dray/pipeline/event"
)

const (
	stage       = "build"
	keepLines   = 30                     // of a step's output, for its failure
	reportEvery = 100 * time.Millisecond // bytes that moved are reported at most so often
)

// progress turns BuildKit's stream of vertices into events:
//
//   - Progress, Subject TARGET, unit steps: how many of the steps known so far
//     are done, and with Text the one that runs. What BuildKit does for itself
//     is not counted.
//   - StepFinished, Subject TARGET: each of those steps.
//   - Progress, Subject TARGET/WHAT, unit bytes: a context that is read, a
//     layer that is pulled, the image that is stored.
//   - Output, Subject TARGET: a line that a step printed.
type progress struct {
	target     string
	dockerfile string // as the user would type it
	redact     func(string) string
	sink       event.Sink

	mu     sync.Mutex
	steps  map[digest.Digest]*step
	counts counts // of the last report
	stored int64  // bytes written to the image store
	last   map[string]time.Time
}

// counts is how far a build is.
type counts struct {
	done, total int64
	running     string // the step that began last, of those under way
}

// step is one vertex.
type step struct {
	name     string
	internal bool
	started  time.Time
	done     bool
	failed   bool
	partial  [3]string // unfinished lines by stream
	lines    []string  // the last ones
}

func newProgress(target, dockerfile string, redact func(string) string, sink event.Sink) *progress {
	return &progress{
		target: target, dockerfile: dockerfile, redact: redact,
		sink:  event.With(sink, func(e *event.Event) { e.Stage = stage }),
		steps: map[digest.Digest]*step{}, last: map[string]time.Time{},
	}
}

// update takes one message of the stream.
func (p *progress) update(s *client.SolveStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range s.Vertexes {
		p.vertex(v)
	}
	for _, l := range s.Logs {
		p.log(l)
	}
	for _, st := range s.Statuses {
		p.status(st)
	}
	for _, w := range s.Warnings {
		p.warning(w)
	}
	p.count()
}

func (p *progress) vertex(v *client.Vertex) {
	st := p.step(v.Digest)
	if v.Name != "" && st.name == "" {
		st.name, st.internal = v.Name, isInternal(v.Name)
	}
	if v.Started != nil {
		st.started = *v.Started
	}
	if v.Completed == nil || st.done || st.failed {
		return
	}
	p.flush(st)
	st.done, st.failed = v.Error == "", v.Error != ""
	if st.internal || strings.Contains(v.Error, context.Canceled.Error()) {
		return
	}
	took := 0.0
	if v.Started != nil {
		took = v.Completed.Sub(*v.Started).Seconds()
	}
	p.sink.Emit(event.Event{Type: event.StepFinished, Subject: p.target, Text: st.name, Cached: v.Cached, Took: took, Error: p.redact(v.Error)})
}

// warning reports what the Dockerfile's checker found, with its place.
func (p *progress) warning(w *client.VertexWarning) {
	text := string(w.Short)
	if w.SourceInfo != nil && len(w.Range) > 0 {
		first, _ := span(w.Range)
		text = fmt.Sprintf("%s:%d: %s", p.dockerfile, first, text)
	}
	p.sink.Emit(event.Event{Type: event.Warning, Subject: p.target, Text: text, Detail: w.URL})
}

func (p *progress) step(d digest.Digest) *step {
	st, ok := p.steps[d]
	if !ok {
		st = &step{}
		p.steps[d] = st
	}
	return st
}

// isInternal says whether a step is BuildKit's own and not of the Dockerfile.
func isInternal(name string) bool {
	return strings.HasPrefix(name, "[internal]") || strings.HasPrefix(name, "exporting ") ||
		strings.HasPrefix(name, "[auth]") || strings.HasPrefix(name, "importing cache") || strings.HasPrefix(name, "resolve image config")
}

func (p *progress) count() {
	var now counts
	var latest time.Time
	for _, s := range p.steps {
		if s.internal || s.name == "" {
			continue
		}
		now.total++
		switch {
		case s.done:
			now.done++
		case !s.failed && s.started.After(latest):
			now.running, latest = s.name, s.started
		}
	}
	if now != p.counts {
		p.counts = now
		p.sink.Emit(event.Event{Type: event.Progress, Subject: p.target, Text: now.running, Done: now.done, Total: now.total, Unit: "steps"})
	}
}

// status reports bytes that move: of a context, or of a layer.
func (p *progress) status(s *client.VertexStatus) {
	subject := p.target + "/" + strings.TrimSuffix(strings.TrimPrefix(s.ID, "transferring "), ":")
	if d, err := digest.Parse(s.ID); err == nil {
		subject = p.target + "/" + d.Encoded()[:12]
	} else if !strings.HasPrefix(s.ID, "transferring ") {
		return
	}
	p.bytes(subject, s.Name, s.Current, s.Total, s.Completed != nil)
}

// exported counts bytes that reach the image store.
func (p *progress) exported(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stored += n
	p.bytes(p.target+"/image", "storing", p.stored, 0, false)
}

func (p *progress) bytes(subject, text string, done, total int64, last bool) {
	now := time.Now()
	if !last && now.Sub(p.last[subject]) < reportEvery {
		return
	}
	p.last[subject] = now
	p.sink.Emit(event.Event{Type: event.Progress, Subject: subject, Text: text, Done: done, Total: total, Unit: "bytes"})
}

func (p *progress) log(l *client.VertexLog) {
	st := p.step(l.Vertex)
	i := min(max(l.Stream, 0), 2)
	text := st.partial[i] + string(l.Data)
	for {
		line, rest, ok := strings.Cut(text, "\n")
		if !ok {
			break
		}
		p.line(st, i, line)
		text = rest
	}
	st.partial[i] = text
}

func (p *progress) flush(st *step) {
	for i, text := range st.partial {
		if text != "" {
			p.line(st, i, text)
		}
		st.partial[i] = ""
	}
}

// line reports one line of output. What a carriage return overwrote is left
// out.
func (p *progress) line(st *step, stream int, text string) {
	text = strings.TrimSuffix(text, "\r")
	text = p.redact(text[strings.LastIndexByte(text, '\r')+1:])
	st.lines = append(st.lines, text)
	if len(st.lines) > keepLines {
		st.lines = slices.Delete(st.lines, 0, 1)
	}
	name := "stdout"
	if stream == 2 {
		name = "stderr"
	}
	p.sink.Emit(event.Event{Type: event.Output, Subject: p.target, Stream: name, Text: text})
}

// ended returns the name and the last lines of a step that has failed.
func (p *progress) ended(d digest.Digest) (name string, lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st, ok := p.steps[d]
	if !ok {
		return "", nil
	}
	p.flush(st)
	return st.name, st.lines
}
