package main

import (
	"bytes"
	"errors"
	"testing"

	"dray/cmd/internal/ui"
	"dray/pipeline"
	"dray/targets/api"
)

// TestTaskNotRun expects a suggestion for a task that the release does not
// have, and the way to one that it does not have yet.
func TestTaskNotRun(t *testing.T) {
	env := &pipeline.Environment{Name: "dev", Tasks: map[string]*pipeline.Task{"report": {}}}
	tasks := []api.TaskStatus{{Name: "migrate"}}
	absent := api.Errorf(api.CodeNotFound, "release 1 of dev has no such task")
	for _, test := range []struct {
		name, task string
		err        error
		want       string
		next       string
	}{
		{"misspelt", "migrat", absent, `no task "migrat" in what dev runs; declared: migrate. Did you mean "migrate"?`, "take one that is declared, or declare it in the file"},
		{"not brought yet", "report", absent, "release 1 of dev has no such task", "dray deploy dev brings it there"},
		{"another failure", "migrate", errors.New("no answer"), "d1: no answer", "dray host check d1 shows how it is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, code := explain(notRun(env, "d1", test.task, tasks, test.err))
			if e.Text != test.want || e.Next != test.next || code != exitFailed {
				t.Errorf("code %d: %q, next %q", code, e.Text, e.Next)
			}
		})
	}
}

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
