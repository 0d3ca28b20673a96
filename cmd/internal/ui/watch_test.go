package ui

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestRedraw(t *testing.T) {
	lines := fit("one\n"+strings.Repeat("x", 30)+"\nthree\nfour\nfive\n", 21, 6)
	if want := []string{"one", strings.Repeat("x", 20) + "\x1b[0m", "three", "… and 2 lines more"}; !slices.Equal(lines, want) {
		t.Errorf("fitted: %q, want %q", lines, want)
	}
	var out bytes.Buffer
	for drawn, lines := range [][]string{{"a"}, {"b", "c"}, {"d"}} {
		if err := redraw(&out, drawn, lines); err != nil {
			t.Fatal(err)
		}
	}
	if want := "\r\x1b[Ja\n\x1b[1A\r\x1b[Jb\nc\n\x1b[2A\r\x1b[Jd\n"; out.String() != want {
		t.Errorf("drawn: %q, want %q", out.String(), want)
	}
}
