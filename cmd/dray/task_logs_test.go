package main

import (
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

func TestChooseRun(t *testing.T) {
	run := func(host, id string, release int) foundRun {
		return foundRun{TaskRun: api.TaskRun{ID: id, Task: "migrate", ReleaseRef: api.ReleaseRef{Release: release}}, host: host}
	}
	found := []foundRun{run("p1", "00000012", 42), run("p2", "00000009", 41), run("p1", "00000009", 41), run("p1", "00000003", 40)}
	for _, test := range []struct {
		name string
		o    logOptions
		want string // host/id, or what is said
	}{
		{"the newest", logOptions{}, "p1/12"},
		{"of a release", logOptions{release: pipeline.ReleaseNumber{Number: 40}}, "p1/3"},
		{"by its number", logOptions{run: "12"}, "p1/12"},
		{"by its number with zeros", logOptions{run: "00000003"}, "p1/3"},
		{"on a host", logOptions{run: "p1/9"}, "p1/9"},
		{"on which host", logOptions{run: "9"}, "write --run p2/9 or --run p1/9"},
		{"one that is not known", logOptions{run: "7"}, "no run 7 of task migrate is known in prod"},
		{"a release that did not run it", logOptions{release: pipeline.ReleaseNumber{Number: 39}}, "task migrate has not run in prod for release 39"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := chooseRun(found, "prod", "migrate", test.o)
			switch {
			case err != nil && !strings.Contains(err.Error(), test.want):
				t.Errorf("%v, want %s", err, test.want)
			case err == nil && r.host+"/"+number(r.ID) != test.want:
				t.Errorf("got %s/%s, want %s", r.host, r.ID, test.want)
			}
		})
	}
}

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
		r := foundRun{TaskRun: test.run, host: "p1"}
		got := r.text("prod")
		if !strings.HasPrefix(got, "migrate in prod: run 12 on p1, release 42, ") || !strings.HasSuffix(got, test.want) {
			t.Errorf("got %q, want …%q", got, test.want)
		}
	}
}
