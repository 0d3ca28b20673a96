package environment

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
)

// TestOneMachineTwoNames: hosts are told apart by their agents' keys, and one
// machine under two names is refused before it hears of anything.
func TestOneMachineTwoNames(t *testing.T) {
	w := newWorld(t, "address", "db", "name")
	w.hosts["name"].key = w.hosts["address"].key
	_, err := w.opener.Open(t.Context(), w.prod(), nil, event.Discard)
	var same *SameMachineError
	if !errors.As(err, &same) || !slices.Equal(same.Names, []string{"address", "name"}) || pipeline.HintOf(err).Class != pipeline.Refused {
		t.Errorf("opening: %v", err)
	}
	if _, err := w.opener.Frozen(t.Context(), w.prod()); !errors.As(err, &same) {
		t.Errorf("before a lock: %v", err)
	}
	if e, err := w.opener.Open(t.Context(), w.prod(), []string{"name"}, event.Discard); err != nil || len(e.Hosts()) != 2 {
		t.Errorf("without one of the names: %v", err)
	}
	for name, h := range w.hosts {
		if len(h.prepares)+len(h.calls) > 0 {
			t.Errorf("%s was changed: %v", name, h.calls)
		}
	}
}

// TestLookingAtAHostWithoutDray: who only looks finds that nothing runs there, and
// brings nothing.
func TestLookingAtAHostWithoutDray(t *testing.T) {
	w := newWorld(t, "p1", "p2")
	w.on("p1")
	w.deploy(t, web("a", 1))
	w.on("p1", "p2")
	w.hosts["p2"].absent = true
	e := w.open(t)
	running, err := e.Running(t.Context())
	if err != nil || running.Release.ReleaseNumber().String() != "1" || !slices.Equal(running.Differ, []string{"p2"}) {
		t.Errorf("it runs %+v (%v)", running, err)
	}
	next, err := e.Preview(t.Context(), pipeline.Release{Services: []pipeline.Service{web("b", 2)}})
	if err != nil || next.Number != 2 || !slices.Equal(next.Placement["p2"], []string{"web/2"}) {
		t.Errorf("next comes %+v (%v)", next, err)
	}
	planned, err := e.Plan(t.Context(), next)
	if err != nil || !planned.Pending {
		t.Errorf("the plan is %+v (%v)", planned, err)
	}
	if err := e.Approve(t.Context(), pipeline.Approval{ReleaseRef: pipeline.RefTo(next.ReleaseNumber())}); err != nil || !slices.Equal(w.hosts["p1"].calls, []string{"approve"}) {
		t.Errorf("approving: %v, %v", w.hosts["p1"].calls, err)
	}
	if found, err := e.Evidence(t.Context(), running.Release); err == nil && !slices.Contains(found.Faults, "p2: dray was never there") {
		t.Errorf("it swears %+v", found)
	}
	if frozen, err := w.opener.Frozen(t.Context(), w.prod()); err != nil || !slices.Equal(frozen.Absent.Names(), []string{"p2"}) {
		t.Errorf("locks: %+v (%v)", frozen, err)
	}
	w.hosts["p1"].absent = true
	if err := w.open(t).Approve(t.Context(), pipeline.Approval{}); err == nil || !strings.Contains(pipeline.HintOf(err).Next, "dray host setup p1 p2") {
		t.Errorf("approving where dray never was: %v", err)
	}
}

// TestUnreachableHosts: where some hosts answer, the error names those that an
// environment could be changed without.
func TestUnreachableHosts(t *testing.T) {
	w := newWorld(t, "p1", "p2", "p3")
	delete(w.hosts, "p3")
	_, err := w.opener.Open(t.Context(), w.prod(), nil, event.Discard)
	var away *UnreachableError
	if !errors.As(err, &away) || !slices.Equal(away.Hosts, []string{"p3"}) {
		t.Errorf("got %v", err)
	}
	delete(w.hosts, "p1")
	delete(w.hosts, "p2")
	if _, err = w.opener.Open(t.Context(), w.prod(), nil, event.Discard); err == nil || errors.As(err, &away) && len(away.Hosts) == 3 {
		t.Errorf("none answers: %v", err)
	}
	if got := deploy.FailedHosts(err); len(got) != 3 {
		t.Errorf("it speaks of %v", got)
	}
}
