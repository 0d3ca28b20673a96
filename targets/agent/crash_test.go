package agent

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dray/targets/api"
)

// crash is one way in which things end in the middle.
type crash struct {
	name    string
	reboot  bool // the host goes down, not only the agent
	returns bool // the client repeats its calls until it has an answer
}

var crashes = []crash{
	{name: "agent", reboot: false},
	{name: "host", reboot: true},
	{name: "agent, client goes on", returns: true},
	{name: "host, client goes on", reboot: true, returns: true},
}

// TestCrashAtEveryPoint ends the agent, or the host, after every single change
// of its state during a deployment and during its way back. Afterwards the
// environment is wholly on one release, whatever the client does, and what
// needs no interruption had none.
func TestCrashAtEveryPoint(t *testing.T) {
	var before *photo
	synctest.Test(t, func(t *testing.T) { before = deployed(t).photograph() })
	for _, c := range crashes {
		t.Run(c.name, func(t *testing.T) {
			tried := 0
			for _, sick := range []bool{false, true} {
				for at, more := 1, true; more && !t.Failed(); at++ {
					synctest.Test(t, func(t *testing.T) { more = crashOnce(t, before.restore(t), c, at, sick) })
					tried++
				}
			}
			t.Logf("%d points tried", tried)
			if tried < 30 {
				t.Errorf("only %d points were reached", tried)
			}
		})
	}
}

// crashOnce deploys the second release, sick or sound, with a crash after the
// at-th change. It reports false when the deployment ended before.
func crashOnce(t *testing.T, w *world, c crash, at int, sick bool) bool {
	time.Sleep(time.Hour)    // the clock of this bubble is behind the photo's
	w.sick[digest(4)] = sick // new/1, the last to start: everything else has switched by then
	r := w.boot(at)
	s := &sequence{t: t, id: "d2", r: second, steps: forward}
	s.attempt(r)
	synctest.Wait()
	w.mu.Lock()
	crashed := w.dead
	w.mu.Unlock()
	if !crashed {
		time.Sleep(10 * time.Second) // what the agent does by itself at the end
		synctest.Wait()
		w.mu.Lock()
		crashed = w.dead
		w.mu.Unlock()
	}
	if !crashed {
		r.stop()
		return false
	}
	point := r.points[len(r.points)-1]
	confirmed := slices.Contains(r.points, "confirm")
	r.stop()
	if c.reboot {
		w.reboot()
		w.mustServe = nil
	}
	r = w.boot(0)
	defer r.stop()
	if c.returns {
		confirmed = s.attempt(r) == nil || confirmed
	}
	time.Sleep(5 * time.Minute) // past every lease
	synctest.Wait()
	where := fmt.Sprintf("crash %d, after %s", at, point)
	if len(w.gaps) > 0 {
		t.Errorf("%s: not reachable for a while: %v", where, w.gaps)
	}
	env, err := r.Get(context.Background())
	if err != nil || env.Lease != nil {
		t.Errorf("%s: lease %+v (%v), want none", where, env.Lease, err)
	}
	if confirmed {
		w.assertRelease(r, 2, second)
	} else {
		w.assertRelease(r, 1, first)
	}
	if c.returns && !sick && !confirmed {
		t.Errorf("%s: the client went on, and the release was not confirmed", where)
	}
	if t.Failed() {
		t.Log(where)
	}
	return true
}

// attempt does the deployment, or what is left of it, and reverts it when it
// fails.
func (s *sequence) attempt(r *running) error {
	err := s.run(r)
	if err == nil || isCode(err, api.CodeInternal) {
		return err
	}
	_, _ = r.Revert(context.Background(), s.id, api.Revert{Fence: s.fence, Reason: err.Error()}, nil)
	_ = r.ReleaseLease(context.Background(), s.fence)
	return err
}
