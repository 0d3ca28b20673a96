package ui

import (
	"sync"

	"dray/pipeline/event"
	"dray/pipeline/secret"
)

// Screen is what a run shows its events on. No call waits for a person: while a
// question stands, events are kept, and shown after it. It ends once, whoever
// ends it; what comes later is dropped.
type Screen struct {
	redactor *secret.Redactor

	mu     sync.Mutex
	view   View
	paused int           // questions that stand
	kept   []event.Event // what came meanwhile
	ended  bool
}

// NewScreen returns a Screen that shows nothing until Begin, and never what the
// redactor knows by then.
func NewScreen(redactor *secret.Redactor) *Screen {
	return &Screen{redactor: redactor, view: Discard{}}
}

// Begin shows events on v from now on.
func (s *Screen) Begin(v View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = v
}

// Emit shows the event, or keeps it while a question stands. Whoever reads it
// finds a version and a time in it.
func (s *Screen) Emit(e event.Event) {
	e = e.Redacted(s.redactor.String)
	e = event.Stamped(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
	case s.paused > 0:
		s.kept = append(s.kept, e)
	default:
		s.view.Emit(e)
	}
}

// Pause gives the screen away, to ask something, until resume is called.
func (s *Screen) Pause() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused++; s.paused == 1 && !s.ended {
		s.view.Leave()
	}
	return sync.OnceFunc(s.resume)
}

func (s *Screen) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused--; s.paused == 0 && !s.ended {
		s.view.Return()
		s.showKept()
	}
}

func (s *Screen) showKept() {
	for _, e := range s.kept {
		s.view.Emit(e.Redacted(s.redactor.String)) // a value may have become known meanwhile
	}
	s.kept = nil
}

// Close shows what was kept and ends what is live on the screen.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	if s.paused > 0 {
		s.view.Return()
	}
	s.showKept()
	s.view.Close()
}
