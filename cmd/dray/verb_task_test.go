package main

import (
	"bytes"
	"testing"

	"dray/cmd/internal/ui"
)

// TestInterruptedTaskGoesOn: who interrupts the watching hears that the task does
// not end with it, and what ends it.
func TestInterruptedTaskGoesOn(t *testing.T) {
	e, code := explain(goesOn("prod", "p1", "migrate"))
	var out bytes.Buffer
	ui.PrintFailure(&out, e, false)
	want := "✗ interrupted\n  Task migrate goes on, on p1.\n  Next: dray logs prod migrate --follow shows what it writes; dray task stop prod migrate ends it\n"
	if code != exitInterrupted || out.String() != want {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
}
