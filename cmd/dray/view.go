package main

import (
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"dray/pipeline/event"
)

// view shows events to somebody. Close ends what is live on the screen. Aside
// lets do have the screen for itself: to ask something.
type view interface {
	event.Sink
	Close()
	Aside(do func())
}

// newView chooses how events are shown: as JSON on out, live on a terminal, or
// as plain lines on errOut.
func newView(out, errOut *os.File, asJSON, quiet bool) view {
	switch {
	case asJSON:
		return &jsonView{encoder: json.NewEncoder(out)}
	case quiet:
		return discardView{}
	case isTerminal(errOut) && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == "":
		return newTerminalView(errOut)
	}
	return &plainView{out: errOut}
}

// liveView is what a run shows its events on. It ends once, whoever ends it;
// what comes later is dropped.
type liveView struct {
	mu    sync.Mutex
	inner view
	ended bool
}

// begin shows events on inner from now on.
func (v *liveView) begin(inner view) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inner = inner
}

// Emit passes the event on.
func (v *liveView) Emit(e event.Event) { v.now().Emit(e) }

// Close ends what is live on the screen.
func (v *liveView) Close() {
	v.mu.Lock()
	inner, ended := v.inner, v.ended
	v.inner, v.ended = discardView{}, true
	v.mu.Unlock()
	if !ended {
		inner.Close()
	}
}

// Aside lets do have the screen for itself.
func (v *liveView) Aside(do func()) { v.now().Aside(do) }

func (v *liveView) now() view {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.inner
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

type discardView struct{}

func (discardView) Emit(event.Event) {}
func (discardView) Close()           {}
func (discardView) Aside(do func())  { do() }

// jsonView writes one event a line.
type jsonView struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

// Emit writes the event. A reader that went away is not this view's fault.
func (v *jsonView) Emit(e event.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.encoder.Encode(e)
}

func (v *jsonView) Close() {}

func (v *jsonView) Aside(do func()) { do() }

// plainView writes one line an event that matters, with the time. Progress in
// between is left out: a pipe keeps every line.
type plainView struct {
	mu      sync.Mutex
	out     io.Writer
	waiting map[string]*time.Timer // hosts that are being connected to
}

// patience is how long a connection may take without a word about it.
const patience = time.Second

// Emit writes the event's line. That a host is being connected to is worth one
// only when it takes long.
func (v *plainView) Emit(e event.Event) {
	line := plainLine(e)
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
	v.waiting[key] = time.AfterFunc(patience, func() {
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

func (v *plainView) Aside(do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	do()
}
