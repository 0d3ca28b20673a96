package deploy

import (
	"context"
	"testing"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// TestRetiringEndsWithTheConfirmation: once a release may be confirmed, that its
// hosts take no further step is nobody's fault; before, it is told.
func TestRetiringEndsWithTheConfirmation(t *testing.T) {
	for _, c := range []struct {
		confirming bool
		code       string
		warned     bool
	}{
		{true, api.CodeConflict, false},
		{false, api.CodeConflict, true},
		{true, api.CodeInternal, true},
	} {
		warned := false
		f := fleetOf(t, event.Func(func(e event.Event) { warned = warned || e.Type == event.Warning }), &fakeHost{
			name: "p1", step: func(context.Context, string, string) *api.Error { return api.Errorf(c.code, "no step can be taken") },
		})
		d := &deployment{Fleet: f, Request: Request{Deployment: pipeline.Deployment{Release: pipeline.Release{Number: 7}}}, id: "d1", lease: &lease{fleet: f}}
		d.confirming.Store(c.confirming)
		d.retire(t.Context(), 1, map[string][]api.Step{"p1": {{Action: api.ActionRetire, Instances: []string{"web/1"}}}})
		if warned != c.warned {
			t.Errorf("confirming %t, %s: warned %t", c.confirming, c.code, warned)
		}
	}
}
