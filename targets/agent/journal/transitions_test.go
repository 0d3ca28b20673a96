package journal

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dray/targets/api"
)

var phases = []phase{
	unborn, preparing, prepared, preparedHeld, committing, committingVoted, committingHeld,
	committed, committedVoted, committedHeld, reverting, reverted, discarded, confirmed,
}

// state returns a deployment's state, hold and vote in a phase.
func (p phase) apply(d *Deployment) {
	d.Held, d.Vote = nil, nil
	d.State = string(p)
	for _, state := range []string{api.StatePrepared, api.StateCommitting, api.StateCommitted} {
		switch p {
		case phase(state + " and held"):
			d.State, d.Held = state, &api.Held{Since: time.Unix(1, 0), Reason: "it failed"}
		case phase(state + " and voted"):
			d.State, d.Vote = state, &api.Confirm{Vote: true}
		}
	}
}

func openTest(t *testing.T) *Journal {
	t.Helper()
	j, err := Open(filepath.Join(t.TempDir(), "agent.db"), Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// place keeps a deployment in a phase, past the table.
func place(t *testing.T, j *Journal, p phase) {
	t.Helper()
	err := j.Update("place", func(tx *Tx) error {
		if p == unborn {
			return tx.DropDeployment("d1")
		}
		d := &Deployment{ID: "d1", Reason: "as it was"}
		p.apply(d)
		if d.phase() != p {
			t.Fatalf("a deployment that is %s is taken for %s", p, d.phase())
		}
		return tx.writeDeployment(d, "place", "")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTransitions tries every change of every phase: the legal ones are kept,
// each other is refused, with both states, and leaves the deployment as it was.
func TestTransitions(t *testing.T) {
	if len(transitions) != len(phases) {
		t.Fatalf("the table has %d phases, this test %d", len(transitions), len(phases))
	}
	j := openTest(t)
	for _, from := range phases {
		for _, to := range phases {
			legal := slices.Contains(transitions[from], to) || from == to && from != unborn
			place(t, j, from)
			err := j.Update("try", func(tx *Tx) error {
				if from == unborn {
					d := &Deployment{ID: "d1"}
					to.apply(d)
					return tx.Begin(d, &api.Release{}, "try", "")
				}
				_, err := tx.Amend("d1", "try", "", func(d *Deployment) { to.apply(d); d.Reason = "changed" })
				return err
			})
			if (err == nil) != legal {
				t.Errorf("from %s to %s: %v, want legal: %v", from, to, err, legal)
			}
			assertRefused(t, j, err, from, to)
		}
	}
}

func assertRefused(t *testing.T, j *Journal, err error, from, to phase) {
	t.Helper()
	if err == nil {
		return
	}
	want := "deployment d1 is " + string(from) + ": it can't become " + string(to)
	var fault *api.Error
	if !errors.As(err, &fault) || fault.Code != api.CodeConflict || fault.Message != want {
		t.Errorf("from %s to %s: %v, want a conflict: %s", from, to, err, want)
	}
	err = j.View(func(tx *Tx) error {
		d, err := tx.Deployment("d1")
		if err == nil && (d.phase() != from || d != nil && d.Reason != "as it was") {
			t.Errorf("from %s to %s: it was refused, and the deployment is %+v", from, to, d)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestEveryDeploymentCanEnd: from every phase, the table leads to an end.
func TestEveryDeploymentCanEnd(t *testing.T) {
	for _, from := range phases {
		seen := map[phase]bool{}
		next := []phase{from}
		for len(next) > 0 {
			p := next[0]
			next = next[1:]
			if !seen[p] {
				seen[p] = true
				next = append(next, transitions[p]...)
			}
		}
		if !seen[reverted] && !seen[discarded] && !seen[confirmed] {
			t.Errorf("a deployment that is %s never ends", from)
		}
	}
}

func TestAmendNeedsADeployment(t *testing.T) {
	j := openTest(t)
	err := j.Update("try", func(tx *Tx) error {
		_, err := tx.Amend("d9", "try", "", func(*Deployment) {})
		return err
	})
	if err == nil {
		t.Error("a deployment that is not known was changed")
	}
}
