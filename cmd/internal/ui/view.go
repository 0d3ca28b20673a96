// Package ui is what a person sees of dray, and what they are asked: events as
// they happen (a View: live on a terminal, as plain lines, as JSON), tables,
// failures in their four parts, and questions at the terminal. It decides
// nothing: what is shown comes from elsewhere, exit codes are cmd/dray's.
package ui

import (
	"encoding/json"
	"os"
	"sync"

	"golang.org/x/term"

	"dray/pipeline/event"
)

// View shows events to somebody. Leave gives up the place on the screen where
// it draws: something else is written below, until Return. Close ends what is live on the screen. Screen calls one method at a
// time, and none that may wait for a person.
type View interface {
	event.Sink
	Leave()
	Return()
	Close()
}

// NewView chooses how events are shown: as JSON on out, live on a terminal, or
// as plain lines on errOut.
func NewView(out, errOut *os.File, asJSON, quiet bool) View {
	switch {
	case asJSON:
		return &jsonView{encoder: json.NewEncoder(out)}
	case quiet:
		return Discard{}
	case IsTerminal(errOut) && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == "":
		return newTerminalView(errOut)
	}
	return &plainView{out: errOut}
}

// IsTerminal says that f is one.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Discard is the View of somebody who wants to see results only.
type Discard struct{}

// Emit drops the event.
func (Discard) Emit(event.Event) {}

// Leave does nothing.
func (Discard) Leave() {}

// Return does nothing.
func (Discard) Return() {}

// Close does nothing.
func (Discard) Close() {}

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

func (v *jsonView) Leave() {}

func (v *jsonView) Return() {}

func (v *jsonView) Close() {}
