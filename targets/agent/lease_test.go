package agent

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

func TestLeaseIsExclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWorld(t).boot(0)
		defer r.stop()
		first, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: "a", Holder: api.Actor{User: "mira"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: "b", Holder: api.Actor{User: "tom"}})
		if !isCode(err, api.CodeLocked) || !strings.Contains(err.Error(), "mira") {
			t.Errorf("a second holder: %v, want CodeLocked by mira", err)
		}
		again, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: "a", Fence: first.Fence + 7})
		if err != nil || again.Fence != first.Fence+7 || again.Since != first.Since {
			t.Errorf("the holder again, raised: %+v, %v", again, err)
		}
		if _, err := r.RenewLease(t.Context(), api.RenewLease{Fence: first.Fence, TTL: 20}); !isCode(err, api.CodeFenced) {
			t.Errorf("renewing with the number of before: %v, want CodeFenced", err)
		}
		for range 5 { // renewed in time, it lives on
			time.Sleep(15 * time.Second)
			if _, err := r.RenewLease(t.Context(), api.RenewLease{Fence: again.Fence, TTL: 20}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(21 * time.Second)
		next, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: "b"})
		if err != nil || next.Fence <= again.Fence {
			t.Errorf("after the end: %+v, %v; want a higher number than %d", next, err, again.Fence)
		}
	})
}

func TestFenceSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 60, ID: "a", Fence: 41})
		if err != nil {
			t.Fatal(err)
		}
		r.stop()
		r = w.boot(0)
		if _, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: "b"}); !isCode(err, api.CodeLocked) {
			t.Errorf("another holder after a restart: %v, want CodeLocked", err)
		}
		if err := r.ReleaseLease(t.Context(), lease.Fence); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r = w.boot(0)
		defer r.stop()
		next, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20, ID: "b"})
		if err != nil || next.Fence != 42 {
			t.Errorf("the next lease: %+v, %v; want number 42", next, err)
		}
		if err := r.ReleaseLease(t.Context(), 41); err != nil { // a late repetition
			t.Error(err)
		}
		if _, err := r.RenewLease(t.Context(), api.RenewLease{Fence: 42, TTL: 20}); err != nil {
			t.Errorf("the lease was released by its predecessor: %v", err)
		}
	})
}

func TestClockSetBackEndsNoLaterThanOneTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &environment{}
		e.resumeLease(&journal.Lease{Fence: 1, TTL: 20 * time.Second, Until: time.Now().Add(24 * time.Hour)})
		if left := time.Until(e.lease.end()); left > 20*time.Second {
			t.Errorf("a lease from before the clock was set back lives for %s, want at most 20s", left)
		}
		e.resumeLease(&journal.Lease{Fence: 1, TTL: 20 * time.Second, Until: time.Now().Add(-time.Hour)})
		if e.leased() {
			t.Error("a lease that ended while the agent was away lives")
		}
	})
}

// TestConfirmIn goes back by itself when the holder does not renew, although
// its lease is longer.
func TestConfirmIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		hasty := second
		hasty.ConfirmIn = pipeline.Duration(30 * time.Second)
		s := &sequence{t: t, id: "d2", r: hasty, steps: forward}
		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 300})
		if err != nil {
			t.Fatal(err)
		}
		s.fence = lease.Fence
		if _, err := r.Prepare(t.Context(), s.prepare(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Second) // prepared only: the whole lease counts
		if _, err := r.RenewLease(t.Context(), api.RenewLease{Fence: s.fence, TTL: 300}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Steps(t.Context(), s.id, api.Steps{Fence: s.fence, Steps: forward}, nil); err != nil {
			t.Fatal(err)
		}
		env, err := r.Get(t.Context())
		if err != nil || env.Deployment == nil || env.Deployment.State != api.StateCommitted || time.Until(env.Deployment.Deadline) > 30*time.Second {
			t.Fatalf("after the steps: %+v, %v; want committed with a deadline within 30s", env.Deployment, err)
		}
		time.Sleep(40 * time.Second)
		w.assertRelease(r, 1, first)
		if _, err := r.Confirm(t.Context(), s.id, api.Confirm{Fence: s.fence}); !isCode(err, api.CodeFenced) {
			t.Errorf("confirming too late: %v, want CodeFenced", err)
		}
	})
}

// TestEndDuringAStep lets the lease end while a step waits for health: the
// wait is over at once, and the environment goes back.
func TestEndDuringAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.sick[digest(11)] = true
		r := w.boot(0)
		defer r.stop()
		slow := second
		slow.Services = slices.Clone(second.Services)
		for i := range slow.Services {
			slow.Services[i].Update.HealthyDeadline = pipeline.Duration(time.Hour)
		}
		s := &sequence{t: t, id: "d2", r: slow, steps: forward}
		began := time.Now()
		err := s.run(r)
		if err == nil || !strings.Contains(err.Error(), errLeaseEnded.Error()) || time.Since(began) > 25*time.Second {
			t.Errorf("the step ended after %s with %v; want the end of the lease", time.Since(began), err)
		}
		time.Sleep(10 * time.Second)
		w.assertRelease(r, 1, first)
	})
}

func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newWorld(t).boot(0)
		defer r.stop()
		if _, err := r.Freeze(t.Context(), api.SetFreeze{Reason: "sale", For: pipeline.Duration(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20}); !isCode(err, api.CodeLocked) || !strings.Contains(err.Error(), "sale") {
			t.Errorf("acquiring under a freeze: %v", err)
		}
		time.Sleep(2 * time.Hour)
		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20})
		if err != nil {
			t.Fatalf("after the freeze: %v", err)
		}
		_ = r.ReleaseLease(t.Context(), lease.Fence)
		if _, err := r.Freeze(t.Context(), api.SetFreeze{Reason: "for good"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Freeze(t.Context(), api.SetFreeze{Reason: "audit"}); !isCode(err, api.CodeLocked) || !strings.Contains(err.Error(), "for good") {
			t.Errorf("another freeze over one that is on: %v", err)
		}
		for _, again := range []api.SetFreeze{{Reason: "for good"}, {Reason: "audit", Replace: true}} {
			if _, err := r.Freeze(t.Context(), again); err != nil {
				t.Errorf("freezing anew, %+v: %v", again, err)
			}
		}
		if err := r.Unfreeze(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20}); err != nil {
			t.Errorf("after unfreezing: %v", err)
		}
	})
}
