package main

import (
	"bytes"
	"testing"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/targets/api"
)

// TestRecoverOfWhatIsHeld expects that a release which is held is named, with
// what would become of it, before it is taken back.
func TestRecoverOfWhatIsHeld(t *testing.T) {
	held := &api.Deployment{ID: "d2", ReleaseRef: api.ReleaseRef{Release: 42, Revision: 1}, FromRef: api.FromRef{From: 41}, Held: &api.Held{Reason: "web/1 is not well"}}
	seen := map[string]*api.Environment{
		"p1": {Deployment: held, Instances: []api.InstanceStatus{
			{Instance: "web/1", ReleaseRef: held.ReleaseRef, Serving: true}, {Instance: "web/1", ReleaseRef: api.ReleaseRef{Release: 41}},
		}},
		"p2": {Deployment: held, Instances: []api.InstanceStatus{{Instance: "web/2", ReleaseRef: api.ReleaseRef{Release: 41}, Serving: true}}},
		"p3": {},
	}
	if environment.HeldOn(seen) != held {
		t.Fatal("it is not found")
	}
	e, code := explain(notTakenBack("prod", held, ui.WhatGoesBack(held, seen), ui.Unanswered))
	var out bytes.Buffer
	ui.PrintFailure(&out, e, false)
	want := "✗ release 42.1 of prod is taken back only with a yes: the environment's name, typed at a terminal, or --yes\n" +
		"  This goes back from release 42.1, which failed and is held on p1 and p2, to release 41: its containers are removed.\n" +
		"  Now serves from it: web/1 on p1.\n" +
		"  prod is untouched.\n" +
		"  Next: dray recover prod --yes\n"
	if code != exitRefused || out.String() != want {
		t.Errorf("code %d\n%s\nwant\n%s", code, out.String(), want)
	}
	for name, seen := range map[string]map[string]*api.Environment{"nothing": {"p1": {}}, "in doubt": {"p1": {Deployment: &api.Deployment{ID: "d2"}}}} {
		if environment.HeldOn(seen) != nil {
			t.Errorf("%s is taken for held", name)
		}
	}
}
