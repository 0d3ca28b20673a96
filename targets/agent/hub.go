package agent

import (
	"sync"

	"dray/pipeline/event"
)

// hub passes every event of the agent to those who watch.
type hub struct {
	mu       sync.Mutex
	watchers map[*lines]struct{}
}

func newHub() *hub { return &hub{watchers: map[*lines]struct{}{}} }

// Emit implements event.Sink.
func (h *hub) Emit(e event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		w.Emit(e)
	}
}

// watch returns the events from now on, until stop is called.
func (h *hub) watch() (events *lines, stop func()) {
	w := newLines()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers[w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
	}
}
