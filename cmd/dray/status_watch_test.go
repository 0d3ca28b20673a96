package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/targets/api"
)

// TestGist says what of a picture is a change, for a line and for JSON.
func TestGist(t *testing.T) {
	began := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	picture := func() *environment.Status {
		return &environment.Status{
			Environment: "prod", Release: 42, Services: map[string]string{"web": "1/1 healthy"},
			Hosts: []environment.HostStatus{
				{Host: "p1", State: &api.Environment{
					Lease:      &api.Lease{Fence: 3, Holder: api.Actor{User: "mira"}, Until: began, Seconds: 20},
					Deployment: &api.Deployment{ID: "d1", State: "committing", Deadline: began},
					Drift:      []api.Drift{{Kind: "stopped", Instance: "web/1", Detail: "it was stopped 3s ago"}},
					Instances:  []api.InstanceStatus{{Instance: "web/1", Restarts: 1}},
				}},
				{Host: "p2", Error: "dial tcp 10.0.0.2:40000: connection refused"},
			},
		}
	}
	for _, test := range []struct {
		name       string
		change     func(*environment.Status)
		line, json bool // that it is one
	}{
		{"nothing", func(*environment.Status) {}, false, false},
		{"a renewed lease", func(v *environment.Status) {
			v.Hosts[0].State.Lease.Until, v.Hosts[0].State.Lease.Seconds = began.Add(time.Second), 19
			v.Hosts[0].State.Deployment.Deadline = began.Add(time.Second)
		}, false, false},
		{"time that passes", func(v *environment.Status) { v.Hosts[0].State.Drift[0].Detail = "it was stopped 4s ago" }, false, false},
		{"another port in an error", func(v *environment.Status) { v.Hosts[1].Error = "dial tcp 10.0.0.2:40001: connection refused" }, false, false},
		{"another error", func(v *environment.Status) { v.Hosts[1].Error = "no route" }, true, true},
		{"a host that is back", func(v *environment.Status) {
			v.Hosts[1] = environment.HostStatus{Host: "p2", State: &api.Environment{}}
		}, true, true},
		{"a release", func(v *environment.Status) { v.Release = 43 }, true, true},
		{"health", func(v *environment.Status) { v.Services["web"] = "0/1 healthy" }, true, true},
		{"a state of a deployment", func(v *environment.Status) { v.Hosts[0].State.Deployment.State = "committed" }, true, true},
		{"a lease that is given back", func(v *environment.Status) { v.Hosts[0].State.Lease = nil }, true, true},
		{"a restart", func(v *environment.Status) { v.Hosts[0].State.Instances[0].Restarts = 2 }, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := picture(), picture()
			test.change(after)
			if got := statusGist(before, false) != statusGist(after, false); got != test.line {
				t.Errorf("a line: %t", got)
			}
			if got := statusGist(before, true) != statusGist(after, true); got != test.json {
				t.Errorf("an object: %t", got)
			}
			if after.Hosts[0].State.Deployment.Deadline.IsZero() {
				t.Error("the picture itself was changed")
			}
		})
	}
}

func TestWatchTakesLooks(t *testing.T) {
	env := &pipeline.Environment{Name: "prod", Hosts: []string{"p1", "p2"}, Services: map[string]*pipeline.Service{"web": {Name: "web"}}}
	release := &pipeline.Release{Number: 42, Services: []pipeline.Service{{Name: "web"}}, Placement: map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}}}
	healthy := func(instance string) *api.Environment {
		return &api.Environment{Current: release, Instances: []api.InstanceStatus{{Instance: instance, ReleaseRef: api.ReleaseRef{Release: 42}, State: "running", Health: api.HealthHealthy}}}
	}
	w := &watcher{
		envs: []*pipeline.Environment{env}, missing: []int{2},
		views: []environment.Status{{Hosts: []environment.HostStatus{{Host: "p1", Error: notYet}, {Host: "p2", Error: notYet}}}},
	}
	for _, step := range []struct {
		host    int
		view    environment.HostStatus
		missing int
		line    string
	}{
		{0, environment.HostStatus{Host: "p1", State: healthy("web/1")}, 1, "prod  release 42  web 1/2 healthy, 1 not known  ! p2: connecting"},
		{1, environment.HostStatus{Host: "p2", State: healthy("web/2")}, 0, "prod  release 42  web 2/2 healthy"},
		{1, environment.HostStatus{Host: "p2", Error: "p2 no\n  route"}, 0, "prod  release 42  web 1/2 healthy, 1 not known  ! p2: no route"},
		{1, environment.HostStatus{Host: "p2", State: healthy("web/2")}, 0, "prod  release 42  web 2/2 healthy"},
	} {
		w.take(seen{0, step.host, step.view})
		if got := statusLine(&w.views[0]); got != step.line || w.missing[0] != step.missing {
			t.Errorf("%d missing, %q; want %d, %q", w.missing[0], got, step.missing, step.line)
		}
	}
}

func TestRedraw(t *testing.T) {
	lines := fit("one\n"+strings.Repeat("x", 30)+"\nthree\nfour\nfive\n", 21, 6)
	if want := []string{"one", strings.Repeat("x", 20) + "\x1b[0m", "three", "… and 2 lines more"}; !slices.Equal(lines, want) {
		t.Errorf("fitted: %q, want %q", lines, want)
	}
	var out bytes.Buffer
	for drawn, lines := range [][]string{{"a"}, {"b", "c"}, {"d"}} {
		if err := redraw(&out, drawn, lines); err != nil {
			t.Fatal(err)
		}
	}
	if want := "\r\x1b[Ja\n\x1b[1A\r\x1b[Jb\nc\n\x1b[2A\r\x1b[Jd\n"; out.String() != want {
		t.Errorf("drawn: %q, want %q", out.String(), want)
	}
}
