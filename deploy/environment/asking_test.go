package environment

import (
	"testing"

	"dray/pipeline"
	"dray/targets/api"
)

// TestAsking: where the gate asks for another person, every host says whom it takes
// the client for, and one that can't takes it for nobody. Otherwise none is asked.
func TestAsking(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	w.hosts["p1"].seen = &api.Actor{User: "mira", Identity: api.Identity{Key: "SHA256:mira"}}
	w.prod().Promotion = &pipeline.Promotion{Approve: true}
	if running, err := w.open(t).Running(t.Context()); err != nil || running.Asking != nil {
		t.Errorf("unasked, the hosts say %+v (%v)", running.Asking, err)
	}
	w.prod().Promotion.PreventSelfApproval = true
	running, err := w.open(t).Running(t.Context())
	if err != nil || len(running.Asking) != 2 {
		t.Fatalf("the hosts say %+v (%v)", running, err)
	}
	known := 0
	for _, actor := range running.Asking {
		if actor.Identity.Key == "SHA256:mira" {
			known++
		} else if actor.Identity.Known() {
			t.Errorf("it is taken for %+v", actor)
		}
	}
	if known != 1 {
		t.Errorf("the hosts say %+v", running.Asking)
	}
}
