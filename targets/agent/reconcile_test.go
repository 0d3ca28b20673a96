package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"dray/targets/api"
	"dray/targets/runtime"
)

// TestReconcileByClock: what somebody has started by hand and no release has is
// stopped, though nothing happens in the environment.
func TestReconcileByClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		if err := (&sequence{t: t, id: "d2", r: second, steps: forward}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		started := 0
		w.mu.Lock()
		for _, c := range w.containers {
			if c.Spec.Labels[runtime.LabelInstance] == "web/1" && c.Spec.Labels[runtime.LabelRelease] == "1" {
				c.State, c.Wanted = runtime.Running, true
				started++
			}
		}
		w.mu.Unlock()
		if started != 1 {
			t.Fatalf("%d old containers of web/1 are kept, want 1", started)
		}
		time.Sleep(reconcileEvery + time.Minute)
		if n := w.runs(1, "web/1"); n != 0 {
			t.Error("an old container that was started by hand still runs")
		}
		w.assertRelease(r, 2, second)
	})
}

// failedDown asks for a removal that fails on the way.
func failedDown(t *testing.T, w *world, r *running) {
	t.Helper()
	w.mu.Lock()
	w.diskFull = true
	w.mu.Unlock()
	lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Down(t.Context(), api.Down{ID: "down-1", Fence: lease.Fence}, nil); err == nil {
		t.Fatal("a removal whose containers can't be stopped has ended well")
	}
	if err := r.ReleaseLease(t.Context(), lease.Fence); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
}

func TestRemovalThatFailedComesToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		failedDown(t, w, r)
		w.mu.Lock()
		w.diskFull = false
		w.mu.Unlock()
		time.Sleep(2 * time.Minute)
		env, err := r.Get(t.Context())
		if err != nil || env.Current != nil || len(env.Instances)+len(env.Kept) > 0 {
			t.Errorf("the environment is %+v (%v), want it removed", env, err)
		}
	})
}

// TestDeploymentGivesTheRemovalUp: a removal that has failed is not gone on with
// once something is deployed again, also not by the next agent.
func TestDeploymentGivesTheRemovalUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.mustServe = nil // a removal interrupts
		r := w.boot(0)
		failedDown(t, w, r)
		s := &sequence{t: t, id: "d2", r: second, steps: noRetire(roll(second.Placement[host]...))}
		if err := s.begin(r); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.diskFull = false
		w.mu.Unlock()
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r = w.boot(0)
		defer r.stop()
		time.Sleep(time.Hour)
		w.assertRelease(r, 2, second)
	})
}
