package output

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestTail(t *testing.T) {
	for name, writes := range map[string][]string{
		"one short":      {" last words\n"},
		"one long":       {strings.Repeat("x", 3*Kept), " last words"},
		"longer at once": {strings.Repeat("x", 3*Kept) + " last words\n"},
		"many":           slices.Repeat([]string{"last ", "words "}, Kept),
	} {
		var tail Tail
		for _, text := range writes {
			if n, err := tail.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatalf("%s: wrote %d of %d: %v", name, n, len(text), err)
			}
		}
		if got := tail.String(); !strings.HasSuffix(got, "last words") || len(got) > Kept || len(writes) > 1 && len(got) < Kept-1 {
			t.Errorf("%s: kept %d bytes, which end with %q", name, len(got), got[max(0, len(got)-20):])
		}
	}
}

func TestTailFromSeveral(t *testing.T) {
	var tail Tail
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				_, _ = tail.Write([]byte("ab"))
			}
		})
	}
	wg.Wait()
	if got := tail.String(); got != strings.Repeat("ab", 800) {
		t.Errorf("kept %d bytes of 1600", len(got))
	}
}

func TestLines(t *testing.T) {
	var got []string
	l := &Lines{Each: func(line []byte) error { got = append(got, string(line)); return nil }}
	for _, text := range []string{"one\ntw", "o\n\nth", "ree"} {
		if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("wrote %d of %q: %v", n, text, err)
		}
	}
	if want := []string{"one", "two", ""}; !slices.Equal(got, want) {
		t.Errorf("before the end: %q, want %q", got, want)
	}
	for range 2 { // a second end gives nothing more
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"one", "two", "", "three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLinesThatNobodyTakes(t *testing.T) {
	broken := errors.New("broken pipe")
	l := &Lines{Each: func([]byte) error { return broken }}
	if _, err := l.Write([]byte("one\n")); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}
