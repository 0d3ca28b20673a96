package ui

import (
	"fmt"
	"io"
	"strings"

	"dray/pipeline/event"
)

// PrintFailure writes a failure in its four parts.
func PrintFailure(w io.Writer, e event.Event, color bool) {
	if o, ok := w.(*Output); ok {
		e = e.Redacted(o.Redact) // before lines are parted: a value may have several
	}
	mark := "✗ "
	if color {
		mark = paint(red, "✗") + " "
	}
	lines := strings.Split(strings.TrimRight(e.Text, "\n"), "\n")
	fmt.Fprintln(w, mark+strings.Join(lines, "\n  "))
	if e.Detail != "" {
		fmt.Fprintln(w, "  "+strings.ReplaceAll(strings.TrimRight(e.Detail, "\n"), "\n", "\n  "))
	}
	if e.Conclusion != "" && !strings.Contains(e.Text, e.Conclusion) {
		fmt.Fprintln(w, "  "+strings.ReplaceAll(e.Conclusion, "\n", "\n  "))
	}
	if e.Next != "" && !strings.Contains(e.Text, e.Next) {
		fmt.Fprintln(w, "  Next: "+e.Next)
	}
}
