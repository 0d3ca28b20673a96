package ui

import (
	"io"
	"os"

	"golang.org/x/term"

	"dray/pipeline/secret"
)

// Output is where results or failures go: a terminal, a pipe, a file. No value
// that its redactor knows passes, not even one that comes in several writes.
// What a container or a command writes itself (dray logs, exec, run) does not go
// this way: that is passed on byte for byte.
type Output struct {
	to       io.Writer
	text     io.WriteCloser // to, with values replaced
	redactor *secret.Redactor
}

// NewOutput writes to w.
func NewOutput(w io.Writer, redactor *secret.Redactor) *Output {
	return &Output{to: w, text: redactor.Writer(w), redactor: redactor}
}

// Write passes on text. A last part that may be the beginning of a value waits
// for more, or Flush.
func (o *Output) Write(p []byte) (int, error) { return o.text.Write(p) }

// Flush passes on what waits.
func (o *Output) Flush() error { return o.text.Close() }

// JSON writes a JSON value, which stays one, in one write: lines of several
// goroutines do not mix.
func (o *Output) JSON(value []byte) error {
	_, err := o.to.Write(append(o.redactor.JSON(value), '\n'))
	return err
}

// Redact is what a text becomes on its way. Who lays text out in columns asks
// before.
func (o *Output) Redact(text string) string { return o.redactor.String(text) }

// Width is how many columns the terminal has; what is none has any number: 0.
func (o *Output) Width() int {
	f, ok := o.to.(*os.File)
	if !ok || !IsTerminal(f) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		return 80
	}
	return width
}
