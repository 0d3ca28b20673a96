package environment

import (
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

// TestHindrances: status tells what a promotion still lacks, where that is known.
func TestHindrances(t *testing.T) {
	dev := &Status{Environment: "dev", Release: 43, Since: time.Now().Add(-4*time.Minute - time.Second)}
	on := func(states ...*api.Environment) *Status {
		v := &Status{Environment: "prod", Hosts: []HostStatus{{Error: "silent"}}}
		for _, s := range states {
			v.Hosts = append(v.Hosts, HostStatus{State: s})
		}
		return v
	}
	strict := pipeline.Promotion{From: "dev", MinAge: pipeline.Duration(30 * time.Minute), Approve: true}
	approved := func(n int) *api.Environment {
		return &api.Environment{Approvals: []api.Approval{{ReleaseRef: api.ReleaseRef{Release: n, Revision: 1}}}}
	}
	for _, test := range []struct {
		name string
		gate pipeline.Promotion
		prod *Status
		want string
	}{
		{"nothing is asked for", pipeline.Promotion{From: "dev"}, on(&api.Environment{}), ""},
		{"all at once", strict, on(&api.Environment{Freeze: &api.Freeze{}}, approved(42)), " (it has run in dev for 4m of 30m; nobody has approved it; prod is locked)"},
		{"it is approved", strict, on(&api.Environment{}, approved(43)), " (it has run in dev for 4m of 30m)"},
		{"nobody can say", pipeline.Promotion{From: "dev", Approve: true}, on(), ""},
		{"old enough", pipeline.Promotion{From: "dev", MinAge: pipeline.Duration(time.Minute)}, on(&api.Environment{}), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Hindrances(&test.gate, dev, test.prod); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
