package ui

import (
	"strings"
	"testing"
	"time"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/targets/api"
)

func TestRunText(t *testing.T) {
	inUTC(t)
	began := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	mira := pipeline.Actor{User: "mira", Machine: "ci-7"}
	for _, test := range []struct {
		run  api.TaskRun
		want string
	}{
		{api.TaskRun{Trigger: api.TaskByHook, Actor: mira, Ended: began.Add(3 * time.Second)}, "started 2026-11-22 10:00:00 by the rollout of mira@ci-7, ended after 3.0s with exit code 0"},
		{api.TaskRun{Trigger: api.TaskBySchedule, Actor: pipeline.Actor{User: "dray"}, Ended: began.Add(3 * time.Second), ExitCode: 7}, "by its schedule, ended after 3.0s with exit code 7"},
		{api.TaskRun{Trigger: api.TaskByHand, Actor: mira}, "by mira@ci-7, is running"},
		{api.TaskRun{Trigger: api.TaskByHand, Actor: mira, Ended: began, Reason: "skipped: the run before had not ended"}, "by mira@ci-7: skipped: the run before had not ended"},
	} {
		test.run.ID, test.run.Task, test.run.Release, test.run.Started = "00000012", "migrate", 42, began
		r := environment.FoundRun{TaskRun: test.run, Host: "p1"}
		got := RunText(&r, "prod")
		if !strings.HasPrefix(got, "migrate in prod: run 12 on p1, release 42, ") || !strings.HasSuffix(got, test.want) {
			t.Errorf("got %q, want …%q", got, test.want)
		}
	}
}
