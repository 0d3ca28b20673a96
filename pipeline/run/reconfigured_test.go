package run_test

import (
	"testing"

	"dray/pipeline"
	"dray/pipeline/run"
)

// TestReconfigured: a change of configuration waits where deploying would bring
// one, and the order of blocks is none.
func TestReconfigured(t *testing.T) {
	a, b := pipeline.Port{Name: "a", To: 1}, pipeline.Port{Name: "b", To: 2}
	env := func(retain int, ports ...pipeline.Port) *pipeline.Environment {
		return &pipeline.Environment{Name: "prod", Retain: retain, Services: map[string]*pipeline.Service{"web": {Name: "web", Ports: ports}}}
	}
	current := run.Configured(env(5, a, b))
	current.Images, current.Placement = map[string]pipeline.ReleaseImage{"web": {Digest: "sha256:aa"}}, map[string][]string{"p1": {"web/1"}}
	for name, c := range map[string]struct {
		env  *pipeline.Environment
		want bool
	}{
		"the same":         {env(5, a, b), false},
		"in another order": {env(5, b, a), false},
		"a port less":      {env(5, a), true},
		"more to be kept":  {env(9, a, b), true},
	} {
		if got := run.Reconfigured(c.env, &current); got != c.want {
			t.Errorf("%s: reconfigured is %t", name, got)
		}
	}
}
