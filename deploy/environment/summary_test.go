package environment

import (
	"slices"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

// TestSum draws an environment from what its hosts say.
func TestSum(t *testing.T) {
	env := &pipeline.Environment{Name: "prod", Services: map[string]*pipeline.Service{"web": {Name: "web"}}}
	release := func(number int) *pipeline.Release {
		return &pipeline.Release{
			Number: number, Services: []pipeline.Service{{Name: "web"}}, Images: map[string]pipeline.ReleaseImage{"web": {Digest: "sha256:aaaa"}},
			Placement: map[string][]string{"p1": {"web/1", "web/3"}, "p2": {"web/2"}},
		}
	}
	state := func(number int, instances ...api.InstanceStatus) *api.Environment {
		return &api.Environment{Current: release(number), Instances: instances}
	}
	runs := func(instance string, release int, health string) api.InstanceStatus {
		return api.InstanceStatus{Instance: instance, ReleaseRef: api.ReleaseRef{Release: release}, State: "running", Health: health}
	}
	whole := state(41, runs("web/1", 41, api.HealthHealthy), runs("web/3", 41, api.HealthNone))
	drifted := state(41, runs("web/2", 41, api.HealthHealthy))
	drifted.Drift = []api.Drift{{Kind: "missing", Instance: "web/3", Detail: "its container is gone"}}
	frozen := func(s *api.Environment) *api.Environment {
		s.Freeze = &api.Freeze{By: api.Actor{User: "mira"}, Reason: "audit"}
		return s
	}
	revised := func(s *api.Environment) *api.Environment {
		s.Current.Revision = 1
		return s
	}
	held := state(41, runs("web/1", 41, api.HealthHealthy), runs("web/3", 42, api.HealthHealthy), runs("web/2", 42, api.HealthUnhealthy))
	held.Instances[0].Serving, held.Instances[1].Serving = true, true
	held.Deployment = &api.Deployment{ReleaseRef: api.ReleaseRef{Release: 42}, FromRef: api.FromRef{From: 41}, Actor: api.Actor{User: "mira"}, Held: &api.Held{Reason: "web/2 is not well"}}
	tests := []struct {
		name    string
		hosts   []HostStatus
		release int
		web     string
		notes   []string
	}{
		{"all well", []HostStatus{{Host: "p1", State: whole}, {Host: "p2", State: state(41, runs("web/2", 41, api.HealthHealthy))}}, 41, "3/3 healthy", nil},
		{
			"one is unhealthy, one has ended",
			[]HostStatus{{Host: "p1", State: state(41, runs("web/1", 41, api.HealthUnhealthy))}, {Host: "p2", State: state(41, runs("web/2", 41, api.HealthHealthy))}},
			41, "1/3 healthy, 1 down", nil,
		},
		{"one is starting", []HostStatus{{Host: "p2", State: state(41, runs("web/2", 41, "starting"))}}, 41, "0/1 healthy, 1 running", nil},
		{
			"a host is silent", []HostStatus{{Host: "p1", State: whole}, {Host: "p2", Error: "p2 (deploy@p2): no route"}},
			41, "2/3 healthy, 1 not known", []string{"p2: no route (deploy@p2)"},
		},
		{"drift", []HostStatus{{Host: "p2", State: drifted}}, 41, "1/1 healthy", []string{"p2: drift: web/3 missing: its container is gone"}},
		{
			"hosts differ", []HostStatus{{Host: "p1", State: whole}, {Host: "p2", State: state(40, runs("web/2", 40, api.HealthHealthy))}},
			0, "3/3 healthy", []string{"p2: release 40", "p1: release 41", "hosts run different releases: dray recover prod says which is right; dray deploy or dray rollback makes them alike"},
		},
		{
			"revisions differ", []HostStatus{{Host: "p1", State: revised(state(41, runs("web/1", 41, api.HealthHealthy)))}, {Host: "p2", State: state(41, runs("web/2", 41, api.HealthHealthy))}},
			0, "1/3 healthy, 2 down", []string{"p2: release 41", "p1: release 41.1", "hosts run different releases: dray recover prod says which is right; dray deploy or dray rollback makes them alike"},
		},
		{"a host was taken out", []HostStatus{{Host: "p2", State: state(41, runs("web/2", 41, api.HealthHealthy))}}, 41, "1/3 healthy, 2 not deployed", nil},
		{"nothing runs", []HostStatus{{Host: "p1", State: &api.Environment{}}}, 0, "-", nil},
		{
			"what is said of several is said once",
			[]HostStatus{{Host: "p1", State: frozen(&api.Environment{})}, {Host: "p2", State: frozen(&api.Environment{})}},
			0, "-", []string{"p1, p2: locked by mira: audit"},
		},
		{
			"a deployer has died", []HostStatus{{Host: "p1", State: &api.Environment{Deployment: &api.Deployment{Kind: "deploy", ReleaseRef: api.ReleaseRef{Release: 42}, State: "committing", Actor: api.Actor{User: "mira"}}}}},
			0, "-", []string{"p1: deploy of release 42 by mira is committing since " + time.Time{}.Local().Format(time.TimeOnly), "p1: nobody holds it any more: dray recover prod"},
		},
		{
			"a release is held", []HostStatus{{Host: "p1", State: held}}, 41, "2/2 healthy", []string{
				"p1: release 42 by mira failed and is held, as auto_revert is false: web/2 is not well\n" +
					"Next: dray rollback prod goes back to release 41; or repair it and dray deploy prod, which goes back first",
				"p1: from release 42 serves web/3",
				"p1: of release 42 runs, and does not serve, web/2 (unhealthy)",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := Status{Environment: "prod", Hosts: test.hosts}
			env.Services["web"].Count = 0
			if test.name == "a host was taken out" {
				env.Services["web"].Count = 3
			}
			v.Sum(env)
			if v.Release != test.release || v.Services["web"] != test.web || !slices.Equal(v.Notes, test.notes) {
				t.Errorf("got release %d, %q, %q; want %d, %q, %q", v.Release, v.Services["web"], v.Notes, test.release, test.web, test.notes)
			}
		})
	}
}
