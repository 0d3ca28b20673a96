package environment

import (
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

// TestGist says what of a picture is a change, for a line and for JSON.
func TestGist(t *testing.T) {
	began := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	picture := func() *Status {
		return &Status{
			Environment: "prod", Release: 42, Services: map[string]string{"web": "1/1 healthy"},
			Hosts: []HostStatus{
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
		change     func(*Status)
		line, json bool // that it is one
	}{
		{"nothing", func(*Status) {}, false, false},
		{"a renewed lease", func(v *Status) {
			v.Hosts[0].State.Lease.Until, v.Hosts[0].State.Lease.Seconds = began.Add(time.Second), 19
			v.Hosts[0].State.Deployment.Deadline = began.Add(time.Second)
		}, false, false},
		{"time that passes", func(v *Status) { v.Hosts[0].State.Drift[0].Detail = "it was stopped 4s ago" }, false, false},
		{"another port in an error", func(v *Status) { v.Hosts[1].Error = "dial tcp 10.0.0.2:40001: connection refused" }, false, false},
		{"another error", func(v *Status) { v.Hosts[1].Error = "no route" }, true, true},
		{"a host that is back", func(v *Status) {
			v.Hosts[1] = HostStatus{Host: "p2", State: &api.Environment{}}
		}, true, true},
		{"a release", func(v *Status) { v.Release = 43 }, true, true},
		{"health", func(v *Status) { v.Services["web"] = "0/1 healthy" }, true, true},
		{"a state of a deployment", func(v *Status) { v.Hosts[0].State.Deployment.State = "committed" }, true, true},
		{"a lease that is given back", func(v *Status) { v.Hosts[0].State.Lease = nil }, true, true},
		{"a restart", func(v *Status) { v.Hosts[0].State.Instances[0].Restarts = 2 }, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := picture(), picture()
			test.change(after)
			if got := before.gist(false) != after.gist(false); got != test.line {
				t.Errorf("a line: %t", got)
			}
			if got := before.gist(true) != after.gist(true); got != test.json {
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
	p := &Picture{
		envs: []*pipeline.Environment{env}, missing: []int{2},
		Views: []Status{{Hosts: []HostStatus{{Host: "p1", Error: notYet}, {Host: "p2", Error: notYet}}}},
	}
	for _, step := range []struct {
		host    int
		view    HostStatus
		missing int
		web     string
	}{
		{0, HostStatus{Host: "p1", State: healthy("web/1")}, 1, "1/2 healthy, 1 not known"},
		{1, HostStatus{Host: "p2", State: healthy("web/2")}, 0, "2/2 healthy"},
		{1, HostStatus{Host: "p2", Error: "p2 no\n  route"}, 0, "1/2 healthy, 1 not known"},
		{1, HostStatus{Host: "p2", State: healthy("web/2")}, 0, "2/2 healthy"},
	} {
		p.take(look{0, step.host, step.view})
		if got := p.Views[0].Services["web"]; got != step.web || p.missing[0] != step.missing {
			t.Errorf("%d missing, %q; want %d, %q", p.missing[0], got, step.missing, step.web)
		}
	}
}
