// Package output is what programs print, on its way to a person: its last
// bytes, for an error, and its lines, as they come.
package output

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// Kept is how many bytes a Tail keeps.
const Kept = 8 << 10

// Tail keeps the last bytes that are written to it. It may be written to from
// several goroutines, and never fails.
type Tail struct {
	mu   sync.Mutex
	text []byte
}

// Write keeps p's end.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[max(0, len(p)-Kept):]...)
	if extra := len(t.text) - Kept; extra > 0 {
		t.text = slices.Delete(t.text, 0, extra)
	}
	return len(p), nil
}

// String returns what was kept, without white space at its ends.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// Lines calls Each with every whole line that is written to it. The line is
// Each's for the time of the call.
type Lines struct {
	Each func(line []byte) error
	rest []byte
}

// Write passes on the lines that p ends, and keeps its rest.
func (l *Lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if err := l.Each(line); err != nil {
			return 0, err
		}
		l.rest = rest
	}
}

// Flush passes on a last line without an end.
func (l *Lines) Flush() error {
	if len(l.rest) == 0 {
		return nil
	}
	defer func() { l.rest = nil }()
	return l.Each(l.rest)
}
