package ui

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"dray/deploy/environment"
	"dray/pipeline"
)

// LiveStatus keeps the status of environments on a terminal up to date, in place.
type LiveStatus struct {
	Out     io.Writer
	Project *pipeline.Project
	drawn   int // lines that are on the screen
}

// CanDraw tells whether what is written to f can be drawn again in place.
func CanDraw(f *os.File) bool { return IsTerminal(f) && os.Getenv("TERM") != "dumb" }

// Draw shows the picture as it is now.
func (l *LiveStatus) Draw(views []environment.Status) error {
	var text bytes.Buffer
	if err := PrintStatus(&text, l.Project, views); err != nil {
		return err
	}
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || width < 20 {
		width, height = 80, 24
	}
	lines := fit(text.String(), width, height)
	if err := redraw(l.Out, l.drawn, lines); err != nil {
		return err
	}
	l.drawn = len(lines)
	return nil
}

// fit cuts a text to what a terminal can show and draw again.
func fit(text string, width, height int) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if most := max(height-2, 2); len(lines) > most {
		lines = append(lines[:most-1], fmt.Sprintf("… and %d lines more", len(lines)-most+1))
	}
	for i := range lines {
		lines[i] = Clip(lines[i], width-1)
	}
	return lines
}

// redraw puts lines where drawn ones are.
func redraw(out io.Writer, drawn int, lines []string) error {
	var b strings.Builder
	if drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", drawn)
	}
	b.WriteString("\r\x1b[J")
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// StatusLine is an environment in one line, for a pipe.
func StatusLine(v *environment.Status) string {
	words := []string{v.Environment}
	if v.Release > 0 {
		words = append(words, v.ReleaseNumber().Name())
	}
	for _, name := range sortedKeys(v.Services) {
		words = append(words, name+" "+v.Services[name])
	}
	for _, n := range v.Notes {
		words = append(words, "! "+strings.Join(strings.Fields(n), " "))
	}
	return strings.Join(words, "  ")
}
