package main

import (
	"errors"
	"testing"

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
