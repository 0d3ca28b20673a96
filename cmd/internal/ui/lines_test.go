package ui

import (
	"bytes"
	"sync"
	"testing"

	"dray/pipeline/output"
)

func TestLineWriter(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	a := Prefixed(&mu, &out, "a | ")
	b := Prefixed(&mu, &out, "b | ")
	for _, step := range []struct {
		w    *output.Lines
		text string
	}{{a, "one\ntw"}, {b, "eins\n"}, {a, "o\n\nthree"}, {b, "zw"}} {
		if n, err := step.w.Write([]byte(step.text)); n != len(step.text) || err != nil {
			t.Fatalf("wrote %d of %q: %v", n, step.text, err)
		}
	}
	for _, w := range []*output.Lines{a, b, a} {
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if want := "a | one\nb | eins\na | two\na | \na | three\nb | zw\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
