package ui

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"dray/pipeline/event"
	"dray/pipeline/secret"
)

// TestScreenEndsOnce: what comes after the end is dropped, and a second end is
// none.
func TestScreenEndsOnce(t *testing.T) {
	view, s := &recordingView{}, NewScreen(secret.NewRedactor())
	s.Begin(view)
	s.Emit(event.Event{Text: "before"})
	s.Close()
	s.Emit(event.Event{Text: "after"})
	s.Close()
	if want := []string{"before", "closed"}; !slices.Equal(view.seen, want) {
		t.Errorf("got %q, want %q", view.seen, want)
	}
}

// TestScreenKeepsWhatComesDuringAQuestion: nobody who emits waits for a person,
// and nothing is lost.
func TestScreenKeepsWhatComesDuringAQuestion(t *testing.T) {
	view, s := &recordingView{}, NewScreen(secret.NewRedactor())
	s.Begin(view)
	resume := s.Pause()
	s.Emit(event.Event{Text: "during"})
	second := s.Pause()
	resume()
	s.Emit(event.Event{Text: "still"})
	if want := []string{"left"}; !slices.Equal(view.seen, want) {
		t.Fatalf("during a question: %q", view.seen)
	}
	second()
	second() // a second call is none
	s.Emit(event.Event{Text: "after"})
	if want := []string{"left", "returned", "during", "still", "after"}; !slices.Equal(view.seen, want) {
		t.Errorf("got %q, want %q", view.seen, want)
	}
}

// TestScreenEndsDuringAQuestion: the end shows what was kept, and waits for
// nobody.
func TestScreenEndsDuringAQuestion(t *testing.T) {
	view, s := &recordingView{}, NewScreen(secret.NewRedactor())
	s.Begin(view)
	resume := s.Pause()
	s.Emit(event.Event{Text: "during"})
	s.Close()
	resume()
	if want := []string{"left", "returned", "during", "closed"}; !slices.Equal(view.seen, want) {
		t.Errorf("got %q, want %q", view.seen, want)
	}
}

type recordingView struct{ seen []string }

func (v *recordingView) Emit(e event.Event) { v.seen = append(v.seen, e.Text) }
func (v *recordingView) Leave()             { v.seen = append(v.seen, "left") }
func (v *recordingView) Return()            { v.seen = append(v.seen, "returned") }
func (v *recordingView) Close()             { v.seen = append(v.seen, "closed") }

// TestScreenStampsEvents: what a verb says by itself has a version and a time,
// as what a stage says.
func TestScreenStampsEvents(t *testing.T) {
	var buf bytes.Buffer
	s := NewScreen(secret.NewRedactor())
	s.Begin(&jsonView{encoder: json.NewEncoder(&buf)})
	s.Emit(event.Event{Type: event.Notice, Text: "pinned"})
	var got event.Event
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil || got.Version != event.Version || got.Time.IsZero() {
		t.Errorf("got %s (%v)", buf.String(), err)
	}
}
