package main

import (
	"context"
	"testing"
	"time"

	"dray/targets/api"
)

// TestReboot takes the host away in the middle of a rollout, all processes at
// once. The next boot comes back with nobody connected, first with what
// served, then, when the lease has ended, wholly on the release before. The
// boot after that just comes back.
func TestReboot(t *testing.T) {
	boot := booted(t, 3, t.TempDir())
	if boot == 0 {
		return
	}
	h := newHost(t)
	h.stays = boot < 3
	switch boot {
	case 1:
		halfWay(t, h)
	case 2:
		backAgain(t, h)
	case 3:
		began := time.Now()
		h.until("both containers serve", func() bool { return serving(h, 1) == 2 })
		t.Logf("both serve %s after the agent answered", time.Since(began))
		wantVersion(t, h, "one")
		checkCurrent(t, h, 1)
	}
}

// halfWay deploys a release and replaces one of two instances by the next.
func halfWay(t *testing.T, h *testHost) {
	one, two := h.push("one"), h.push("two")
	if err := newRollout("d1", 1, one).run(h); err != nil {
		t.Fatal(err)
	}
	d := newRollout("d2", 2, two)
	if err := d.begin(h, 10); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{api.ActionStart, api.ActionSwitch, api.ActionRetire} {
		step := api.Step{Key: action, Action: action, Instances: []string{"web/1"}}
		if _, err := h.Steps(context.Background(), d.id, api.Steps{Fence: d.fence, Steps: []api.Step{step}}, logged(h)); err != nil {
			t.Fatal(err)
		}
	}
}

func backAgain(t *testing.T, h *testHost) {
	env, err := h.Get(context.Background())
	if err != nil || env.Deployment == nil || env.Deployment.State != api.StateCommitting {
		t.Errorf("right after the boot: %+v, %v; want a deployment in doubt", env.Deployment, err)
	}
	answered := map[string]bool{}
	h.until("it has gone back", func() bool {
		if version, err := get(""); err == nil {
			answered[version] = true
		}
		env, err := h.Get(context.Background())
		return err == nil && env.Deployment == nil
	})
	t.Logf("answers until it had gone back: %v", answered)
	wantVersion(t, h, "one")
	checkCurrent(t, h, 1)
	records, err := h.History(context.Background(), 1)
	if err != nil || records[0].Result != api.StateReverted {
		t.Errorf("the history's last line: %+v, %v", records, err)
	}
	t.Logf("%s: %s", records[0].Result, records[0].Reason)
}

// serving counts the instances of a release that serve.
func serving(h *testHost, release int) (n int) {
	env, err := h.Get(context.Background())
	if err != nil {
		return 0
	}
	for _, i := range env.Instances {
		if i.Serving && i.Release == release && i.Health == api.HealthHealthy {
			n++
		}
	}
	return n
}
