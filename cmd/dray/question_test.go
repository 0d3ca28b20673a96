package main

import (
	"strings"
	"testing"
)

func TestPut(t *testing.T) {
	for typed, want := range map[string]reply{
		"go\n":              saidYes,
		"y\n":               saidYes,
		" YES \n":           saidYes,
		"n\n":               saidNo,
		"No\n":              saidNo,
		"\ngoo\ny\n":        saidYes,
		"what\nwhy\nno\n":   saidNo,
		"a\nb\nc\ngo\n":     unanswered,
		"":                  unanswered,
		"hm\n":              unanswered,
		"go without an end": unanswered,
	} {
		var shown strings.Builder
		if got := put(strings.NewReader(typed), &shown, "Well? ", "go", "y", "yes"); got != want {
			t.Errorf("%q: got %d, want %d", typed, got, want)
		}
		if n := strings.Count(shown.String(), "Well? "); n != 1 {
			t.Errorf("%q: the whole question came %d times: %q", typed, n, shown.String())
		}
	}
}

func TestPutNames(t *testing.T) {
	var shown strings.Builder
	if put(strings.NewReader("y\nprdo\nprod\n"), &shown, "Type prod to go on: ", "prod") != saidYes {
		t.Error("the name is no yes at the third try")
	}
	if n := strings.Count(shown.String(), `That is neither "prod" nor "no".`); n != 2 {
		t.Errorf("the other answers were told %d times: %q", n, shown.String())
	}
}
