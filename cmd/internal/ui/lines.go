package ui

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// LineWriter passes on what is written in whole lines.
type LineWriter struct {
	Each func(line []byte) error
	rest []byte
}

// Prefixed writes lines to out, each behind a prefix, one writer at a time.
func Prefixed(mu *sync.Mutex, out io.Writer, prefix string) *LineWriter {
	return &LineWriter{Each: func(line []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintf(out, "%s%s\n", prefix, line)
		return err
	}}
}

// Write passes on the lines that p ends, and keeps its rest.
func (w *LineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if err := w.Each(line); err != nil {
			return 0, err
		}
		w.rest = rest
	}
}

// Flush passes on a last line without an end.
func (w *LineWriter) Flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	defer func() { w.rest = nil }()
	return w.Each(w.rest)
}
