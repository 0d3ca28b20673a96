package main

import (
	"context"
	"fmt"
	"testing"

	"dray/targets/api"
)

// mostChanges is more than a deployment of the test changes the journal.
const mostChanges = 40

// TestKilledAtEveryChange ends the daemon after each change of its journal
// during deployments, starts it again, and has the client go on or go back.
// Nobody outside notices any of it. The state machine's own test tries more
// ways; this one tries them with real containers, mounts and packet filters.
func TestKilledAtEveryChange(t *testing.T) {
	if testing.Short() {
		t.Skip("many deployments")
	}
	if !isolated(t) {
		return
	}
	h := newHost(t)
	images := []api.Image{h.push("zero"), h.push("one")}
	runs, release := 0, 1
	if err := newRollout("d-first", release, images[runs]).run(h); err != nil {
		t.Fatal(err)
	}
	under := newLoad()
	tried := 0
	for ; tried < mostChanges; tried++ {
		h.kill()
		h.failAt(fmt.Sprintf("after * %d exit", tried+1))
		h.start()
		d := newRollout(fmt.Sprintf("d%d", tried), release+1, images[1-runs])
		err := d.run(h)
		if err == nil {
			break // the deployment has fewer changes
		}
		_ = h.agent.Wait()
		h.start()
		if confirmed := d.recover(t, h, tried%2 == 0); confirmed {
			runs, release = 1-runs, release+1
		}
		wantVersion(t, h, []string{"zero", "one"}[runs])
		checkCurrent(t, h, release)
		if t.Failed() {
			t.Fatalf("after change %d (%v)", tried+1, err)
		}
	}
	h.kill() // it may be about to end by itself
	h.failAt("")
	h.start()
	under.end(t)
	t.Logf("%d points tried", tried)
	if tried < 10 || tried == mostChanges {
		t.Errorf("%d points were reached", tried)
	}
}

// recover goes on with a deployment whose daemon died, or goes back. It
// reports whether its release is the current one now.
func (d *rollout) recover(t *testing.T, h *testHost, forward bool) bool {
	t.Helper()
	env, err := h.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if env.Current.Number == d.r.Number {
		_ = h.ReleaseLease(context.Background(), d.fence)
		return true
	}
	if forward {
		if err := d.run(h); err != nil {
			t.Errorf("going on: %v", err)
		}
		return true
	}
	lease, err := h.AcquireLease(context.Background(), api.AcquireLease{TTL: 60, ID: d.id})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Revert(context.Background(), d.id, api.Revert{Fence: lease.Fence, Reason: "the daemon died"}, logged(h))
	if err != nil && !isCode(err, api.CodeNotFound) {
		t.Errorf("going back: %v", err)
	}
	if err := h.ReleaseLease(context.Background(), lease.Fence); err != nil {
		t.Error(err)
	}
	return false
}

func checkCurrent(t *testing.T, h *testHost, release int) {
	t.Helper()
	env, err := h.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if env.Current.Number != release || env.Deployment != nil || env.Lease != nil || len(env.Drift) > 0 || len(env.Instances) != 2 {
		t.Errorf("release %d, deployment %+v, lease %+v, drift %+v, %d instances; want release %d alone",
			env.Current.Number, env.Deployment, env.Lease, env.Drift, len(env.Instances), release)
	}
}
