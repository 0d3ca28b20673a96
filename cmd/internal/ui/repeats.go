package ui

import (
	"fmt"
	"sync"

	"dray/pipeline/event"
)

// Repeats knows the last state of each instance: a deployment and the runtime
// below it both tell that one starts, and a person needs it once.
type Repeats struct {
	mu   sync.Mutex
	last map[string]string // host and instance → release and state
}

// Before tells whether an event says of an instance what the one before said.
func (r *Repeats) Before(e event.Event) bool {
	if e.Type != event.InstanceState || e.Instance == "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]string{}
	}
	key, now := e.Host+" "+e.Instance, fmt.Sprintf("%d.%d %s", e.Release, e.Revision, e.State)
	same := r.last[key] == now
	r.last[key] = now
	return same
}
