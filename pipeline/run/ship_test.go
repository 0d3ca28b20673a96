package run

import (
	"testing"

	"dray/pipeline"
)

func TestShipWithoutEnvironmentsIsAnError(t *testing.T) {
	r := &Runner{Project: &pipeline.Project{Name: "shop"}}
	if done, gate, err := r.Ship(t.Context()); err == nil || done != nil || gate != nil {
		t.Fatalf("got %v, %v, %v", done, gate, err)
	} else if pipeline.HintOf(err).Next == "" {
		t.Error("it says no next step")
	}
}
