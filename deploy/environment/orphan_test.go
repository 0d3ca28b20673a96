package environment

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"dray/pipeline"
)

// TestOrphans: what the file has taken out of an environment, and still runs, is
// told with what removes it; what was taken down is not.
func TestOrphans(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	w.deploy(t, web("a", 2))
	if found := w.opener.OrphansOf(t.Context(), w.prod()); len(found) > 0 {
		t.Errorf("while all are its hosts: %+v", found)
	}
	w.on("p1")
	found := w.opener.OrphansOf(t.Context(), w.prod())
	if len(found) != 1 || !strings.Contains(found[0].Note(), "p2 is no host of prod any more, by the file, and still runs web/2 of release 1: dray down prod --host p2") {
		t.Errorf("found %+v", found)
	}
	all := w.opener.AddOrphans(t.Context(), w.opener.Look(t.Context(), w.project.Environments))
	if len(all) != 1 || !slices.ContainsFunc(all[0].Notes, func(n string) bool { return strings.HasPrefix(n, "p2 is no host of prod") }) {
		t.Errorf("the picture is %+v", all)
	}
	one := w.opener.Look(t.Context(), w.project.Environments)
	w.opener.AddOrphansOf(t.Context(), w.prod(), &one[0])
	if !slices.Equal(one[0].Notes, all[0].Notes) {
		t.Errorf("of one environment status notes %q, of all %q", one[0].Notes, all[0].Notes)
	}
	w.hosts["p2"].env.Current = nil
	if found := w.opener.OrphansOf(t.Context(), w.prod()); len(found) > 0 {
		t.Errorf("after it was taken down: %+v", found)
	}
}

// TestRecoverBringsHostsUpToDate: a host that missed the end of a deployment is
// brought what all had agreed on, where it was placed, with the secrets that this
// machine has.
func TestRecoverBringsHostsUpToDate(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	w.deploy(t, web("a", 2))
	missed := w.hosts["p2"].env
	newest := w.deploy(t, web("b", 2)).Release
	w.hosts["p2"].env = missed
	asked := false
	r, err := w.open(t).Recover(t.Context(), Recovery{
		Abort: func(string) bool { return false },
		Secrets: func(context.Context, map[string]string) (map[string]string, error) {
			asked = true
			return nil, nil
		},
	})
	if err != nil || r.Brought == nil || !slices.Equal(r.Behind, []string{"p2"}) || !asked {
		t.Fatalf("recovered %+v (%v)", r, err)
	}
	got := w.hosts["p2"].env.Current
	if got.ReleaseNumber() != newest.ReleaseNumber() || !maps.EqualFunc(got.Placement, newest.Placement, slices.Equal) {
		t.Errorf("p2 runs %s in %v", got.ReleaseNumber(), got.Placement)
	}
	if r, err = w.open(t).Recover(t.Context(), Recovery{Abort: func(string) bool { return false }}); err != nil || r.Brought != nil || r.Release != newest.ReleaseNumber() {
		t.Errorf("again: %+v (%v)", r, err)
	}
}

// TestRunning sums up what the hosts say of an environment.
func TestRunning(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	running := func() *pipeline.Running {
		t.Helper()
		r, err := w.open(t).Running(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := running(); r.Release != nil || len(r.Differ) > 0 {
		t.Errorf("before the first release: %+v", r)
	}
	w.deploy(t, web("a", 2))
	first := w.hosts["p2"].env
	w.deploy(t, web("b", 2))
	if r := running(); r.Release.Number != 2 || len(r.Differ) > 0 {
		t.Errorf("all run the second: %+v", r)
	}
	w.hosts["p2"].env = first
	if r := running(); r.Release.Number != 2 || !slices.Equal(r.Differ, []string{"p2"}) {
		t.Errorf("one missed it: %+v", r)
	}
}
