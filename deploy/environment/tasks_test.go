package environment

import (
	"errors"
	"testing"
	"time"

	"dray/deploy"
	"dray/pipeline"
	"dray/targets/api"
)

// TestMergeTasks joins what two hosts say: the next run of all, the newest runs
// first.
func TestMergeTasks(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 22, 10, minute, 0, 0, time.UTC) }
	on := func(host string, next time.Time, started ...int) Answer[[]api.TaskStatus] {
		s := api.TaskStatus{Name: "report", Next: next}
		for _, minute := range started {
			s.Runs = append(s.Runs, api.TaskRun{Started: at(minute)})
		}
		return Answer[[]api.TaskStatus]{Host: &deploy.Host{Name: host}, Value: []api.TaskStatus{s}}
	}
	lines := mergeTasks([]Answer[[]api.TaskStatus]{on("p1", time.Time{}, 9, 7, 5, 3, 1), on("p2", at(30), 8)})
	if len(lines) != 1 || !lines[0].Next.Equal(at(30)) || len(lines[0].Runs) != LastRuns {
		t.Fatalf("got %+v", lines)
	}
	if second := lines[0].Runs[1]; second.Host != "p2" || !second.Started.Equal(at(8)) {
		t.Errorf("the second newest run: %+v", second)
	}
}

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
			err := notRun(env, "d1", test.task, tasks, test.err)
			if err.Error() != test.want || pipeline.HintOf(err).Next != test.next {
				t.Errorf("%v, next %q", err, pipeline.HintOf(err).Next)
			}
		})
	}
}
