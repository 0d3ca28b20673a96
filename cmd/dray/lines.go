package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// lineWriter passes on what is written in whole lines.
type lineWriter struct {
	each func(line []byte) error
	rest []byte
}

// prefixed writes lines to out, each behind a prefix, one writer at a time.
func prefixed(mu *sync.Mutex, out io.Writer, prefix string) *lineWriter {
	return &lineWriter{each: func(line []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintf(out, "%s%s\n", prefix, line)
		return err
	}}
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if err := w.each(line); err != nil {
			return 0, err
		}
		w.rest = rest
	}
}

func (w *lineWriter) flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	defer func() { w.rest = nil }()
	return w.each(w.rest)
}

// stamp parts a line from the time in front of it.
func stamp(line string) (time.Time, string) {
	at, text, _ := strings.Cut(line, " ")
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return time.Time{}, line
	}
	return t, text
}
