package agent

import (
	"testing"

	"dray/pipeline/event"
)

// TestLinesOutliveASpareToken: a line that is added while another batch is
// taken goes with that one, and leaves its token.
func TestLinesOutliveASpareToken(t *testing.T) {
	l := newLines()
	l.Emit(event.Event{Text: "first"})
	l.mu.Lock()
	l.queue = nil // taken already
	l.mu.Unlock()
	got := make(chan int)
	go func() { got <- len(l.next(t.Context())) }()
	for len(l.more) > 0 { // until it has taken the spare token
	}
	l.Emit(event.Event{Text: "second"})
	if n := <-got; n != 1 {
		t.Errorf("%d lines came; nothing says that the reader has gone", n)
	}
}
