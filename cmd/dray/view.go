package main

import (
	"encoding/json"
	"io"
	"os"
	"sync"

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
	mu  sync.Mutex
	out io.Writer
}

func (v *plainView) Emit(e event.Event) {
	line := plainLine(e)
	if line == "" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = io.WriteString(v.out, e.Time.Local().Format("15:04:05")+" "+line+"\n") // as above
}

func (v *plainView) Close() {}

func (v *plainView) Aside(do func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	do()
}
