package deploy

import (
	"errors"
	"slices"
	"testing"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// TestDownThatNoHostAllows: a role that may not take an environment down has
// removed nothing. Where one host has lost it, the rest is unfinished.
func TestDownThatNoHostAllows(t *testing.T) {
	forbidden := api.Errorf(api.CodeForbidden, "it takes admin")
	for name, c := range map[string]struct {
		p1, p2 *api.Error
		stuck  []string // nil: nothing was removed
	}{
		"both refuse":            {forbidden, forbidden, nil},
		"one has removed it":     {nil, forbidden, []string{"p2"}},
		"one failed on the way":  {forbidden, api.Errorf(api.CodeInternal, "the disk is full"), []string{"p1", "p2"}},
		"both failed on the way": {api.Errorf(api.CodeInternal, "x"), api.Errorf(api.CodeInternal, "y"), []string{"p1", "p2"}},
	} {
		p1, p2 := &fakeHost{name: "p1", down: c.p1}, &fakeHost{name: "p2", down: c.p2}
		_, err := fleetOf(t, event.Discard, p1, p2).Down(t.Context(), pipeline.Actor{}, false)
		var refused *Error
		var unfinished *DownError
		switch {
		case c.stuck == nil:
			if !errors.As(err, &refused) || refused.Outcome != Refused {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &unfinished) || !slices.Equal(unfinished.Stuck, c.stuck):
			t.Errorf("%s: %v", name, err)
		}
	}
}
