package agent

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"dray/targets/api"
	"dray/targets/runtime"
)

// failing brings the second release up to its last instance, which is not
// healthy, and holds it as a deployer does.
func failing(t *testing.T, w *world, r *running) *sequence {
	t.Helper()
	w.mu.Lock()
	w.sick[digest(4)] = true // new/1, the last to start
	w.mu.Unlock()
	s := &sequence{t: t, id: "d2", r: second, steps: forward}
	if err := s.run(r); !isCode(err, api.CodeUnhealthy) {
		t.Fatalf("deploying: %v, want CodeUnhealthy", err)
	}
	for range 2 { // asking again changes nothing
		env, err := r.Hold(t.Context(), s.id, api.Hold{Fence: s.fence, Reason: "new/1 is not well"})
		if err != nil || env.Deployment == nil || env.Deployment.Held == nil {
			t.Fatalf("holding: %+v, %v", env, err)
		}
	}
	if err := r.ReleaseLease(t.Context(), s.fence); err != nil {
		t.Fatal(err)
	}
	return s
}

// assertHeld checks that the second release stays as far as it came: web is
// new, old/1 has not been taken away, and new/1 runs for people to look at.
func (w *world) assertHeld(r *running, when string) {
	w.t.Helper()
	time.Sleep(10 * time.Minute) // of the test's own clock: past every lease and drain
	synctest.Wait()
	env, err := r.Get(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	d := env.Deployment
	if d == nil || d.Held == nil || d.Held.Reason != "new/1 is not well" || d.State != api.StateCommitting {
		w.t.Fatalf("%s: the deployment is %+v, want it held", when, d)
	}
	if env.Lease != nil || env.Current == nil || env.Current.Number != 1 {
		w.t.Errorf("%s: lease %+v, release %+v", when, env.Lease, env.Current)
	}
	var serve, run []string
	for _, i := range env.Instances {
		name := i.Instance + "." + string(rune('0'+i.Release))
		if i.Serving {
			serve = append(serve, name)
		}
		if i.State == "running" {
			run = append(run, name)
		}
	}
	if want := []string{"db/1.1", "old/1.1", "web/1.2", "web/2.2"}; !slices.Equal(serve, want) {
		w.t.Errorf("%s: %v serve, want %v", when, serve, want)
	}
	if want := []string{"db/1.1", "new/1.2", "old/1.1", "web/1.2", "web/2.2"}; !slices.Equal(run, want) {
		w.t.Errorf("%s: %v run, want %v", when, run, want)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for service, want := range map[string]int{"web": 2, "db": 1, "old": 1} {
		if got := len(w.routes[service].Backends); got != want {
			w.t.Errorf("%s: %d containers of %s are in the rotation, want %d", when, got, service, want)
		}
	}
}

func TestHeldStaysUntilItIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		s := failing(t, w, r)
		w.assertHeld(r, "after the lease")
		w.assertHistory(r, api.ResultHeld)
		r.stop()
		r = w.boot(0)
		w.assertHeld(r, "after a restart of the agent")
		r.stop()
		w.mustServe = nil // a reboot interrupts
		w.reboot()
		r = w.boot(0)
		defer r.stop()
		w.assertHeld(r, "after a reboot")
		if len(w.gaps) > 0 {
			t.Errorf("not reachable for a while: %v", w.gaps)
		}

		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Steps(t.Context(), s.id, api.Steps{Fence: lease.Fence, Steps: forward}, nil)
		if !isCode(err, api.CodeConflict) {
			t.Errorf("a step of what is held: %v, want CodeConflict", err)
		}
		if _, err := r.Confirm(t.Context(), s.id, api.Confirm{Fence: lease.Fence}); !isCode(err, api.CodeConflict) {
			t.Errorf("confirming what is held: %v, want CodeConflict", err)
		}
		if _, err := r.Revert(t.Context(), s.id, api.Revert{Fence: lease.Fence, Reason: "asked"}, nil); err != nil {
			t.Fatal(err)
		}
		w.assertRelease(r, 1, first)
		w.assertHistory(r, api.StateReverted)
	})
}

// TestHoldDrainsWhatIsReplaced: holding does not leave old containers running
// beside the new ones that took their place, and their connections end first.
func TestHoldDrainsWhatIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		w.mu.Lock()
		for _, c := range w.containers {
			if c.Spec.Labels[runtime.LabelService] == "web" {
				w.busy[c.Address.String()] = true
			}
		}
		w.sick[digest(4)] = true
		w.mu.Unlock()
		noRetire := slices.DeleteFunc(slices.Clone(forward), func(s api.Step) bool { return s.Action == api.ActionRetire })
		s := &sequence{t: t, id: "d2", r: second, steps: noRetire}
		if err := s.run(r); !isCode(err, api.CodeUnhealthy) {
			t.Fatal(err)
		}
		if _, err := r.Hold(t.Context(), s.id, api.Hold{Fence: s.fence, Reason: "new/1 is not well"}); err != nil {
			t.Fatal(err)
		}
		if err := r.ReleaseLease(t.Context(), s.fence); err != nil {
			t.Fatal(err)
		}
		w.assertHeld(r, "after the drain")
	})
}

// TestHoldEndsWhatStillDrained: a release that fails while the containers of
// the release before the last still drain does not keep them running.
func TestHoldEndsWhatStillDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		w.mu.Lock()
		for _, c := range w.containers {
			w.busy[c.Address.String()] = true
		}
		w.mu.Unlock()
		if err := (&sequence{t: t, id: "d2", r: second, steps: noRetire(forward)}).run(r); err != nil {
			t.Fatal(err)
		}
		third := second
		third.Number, third.Services = 3, slices.Clone(second.Services)
		for i := range third.Services {
			third.Services[i].Env = map[string]string{"version": "3"}
		}
		w.mu.Lock()
		w.sick[digest(4)] = true
		w.mu.Unlock()
		s := &sequence{t: t, id: "d3", r: third, steps: roll("new/1")}
		if err := s.run(r); !isCode(err, api.CodeUnhealthy) {
			t.Fatalf("deploying: %v, want CodeUnhealthy", err)
		}
		if n := w.runs(1, "old/1") + w.runs(1, "web/1"); n != 2 {
			t.Fatalf("%d of release 1 still run, want both to drain yet", n)
		}
		if _, err := r.Hold(t.Context(), s.id, api.Hold{Fence: s.fence, Reason: "new/1 is not well"}); err != nil {
			t.Fatal(err)
		}
		if err := r.ReleaseLease(t.Context(), s.fence); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // of the test's own clock: past every drain
		if n := w.runs(1, "old/1") + w.runs(1, "web/1"); n != 0 {
			t.Errorf("%d of release 1 run while release 3 is held", n)
		}
		if n := w.runs(2, "web/1") + w.runs(3, "new/1"); n != 2 {
			t.Errorf("%d of the releases 2 and 3 run, want both", n)
		}
	})
}

// runs counts the running containers of an instance that a release made.
func (w *world) runs(release int, instance string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.containers {
		l := c.Spec.Labels
		if c.State == runtime.Running && l[runtime.LabelInstance] == instance && l[runtime.LabelRelease] == strconv.Itoa(release) {
			n++
		}
	}
	return n
}

// TestPreparedIsHeld: a host whose turn had not come keeps what was prepared,
// and the next deployment clears it away.
func TestPreparedIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d2", r: second}
		if err := s.begin(r); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Hold(t.Context(), s.id, api.Hold{Fence: s.fence, Reason: "another host"}); err != nil {
			t.Fatal(err)
		}
		if err := r.ReleaseLease(t.Context(), s.fence); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		env, err := r.Get(t.Context())
		if err != nil || env.Deployment == nil || env.Deployment.Held == nil || env.Deployment.State != api.StatePrepared {
			t.Fatalf("the deployment is %+v (%v), want it held, prepared", env.Deployment, err)
		}
		third := second
		third.Number = 3
		if err := (&sequence{t: t, id: "d3", r: third, steps: forward}).run(r); err != nil {
			t.Fatal(err)
		}
		w.assertRelease(r, 3, third)
	})
}

// TestHoldNeedsTheLease: a deployer that comes late holds nothing: the host
// goes back, as if nobody had asked.
func TestHoldNeedsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.sick[digest(4)] = true
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d2", r: second, steps: forward}
		if err := s.run(r); !isCode(err, api.CodeUnhealthy) {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if _, err := r.Hold(t.Context(), s.id, api.Hold{Fence: s.fence}); !isCode(err, api.CodeFenced) {
			t.Errorf("holding without the lease: %v, want CodeFenced", err)
		}
		w.assertRelease(r, 1, first)
	})
}
