package agent

import (
	"slices"
	"testing"
	"testing/synctest"

	"dray/pipeline"
	"dray/targets/api"
)

// TestContainersOfAnOlderAgentStay holds that a host whose containers an older
// agent labelled, by the order of the file's blocks, shows no drift and restarts
// nothing: neither for the same file nor for one whose blocks are in another
// order, nor once the release that the label came from is gone.
func TestContainersOfAnOlderAgentStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer func() { r.stop() }()
		next := func(number int, ports ...pipeline.Port) *sequence {
			release := release(number, map[string]int{"web": 1}, "web/1")
			release.Services[0].Ports, release.Retain = ports, 1
			return &sequence{t: t, id: "d" + release.ReleaseNumber().String(), r: release}
		}
		a, b := pipeline.Port{Name: "a", To: 8080, Protocol: "tcp"}, pipeline.Port{Name: "b", To: 9090, Protocol: "tcp"}
		s := next(1, b, a)
		s.r.Services[0].Check = nil
		s.steps = roll("web/1")
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		r.stop()
		for _, c := range w.containers {
			older := s.r.OrderedContainerFingerprint("web")
			if older == c.Spec.Labels[labelFingerprint] {
				t.Fatal("the order of the blocks is no part of the older fingerprint")
			}
			c.Spec.Labels[labelFingerprint] = older
		}
		w.created, w.started = 0, 0
		r = w.boot(0)
		for number := 2; number < 6; number++ {
			s := next(number, a, b)
			if number%2 == 0 {
				slices.Reverse(s.r.Services[0].Ports)
			}
			s.r.Services[0].Check, s.r.Services[0].Update.MaxParallel = nil, number
			if err := s.run(r); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			env, err := r.Get(t.Context())
			if err != nil || len(env.Drift) > 0 || w.created+w.started > 0 {
				t.Fatalf("release %d: drift %v, %d created, %d started, %v; want none", number, env.Drift, w.created, w.started, err)
			}
		}
		var kept []api.Release
		if kept, _ = r.Releases(t.Context()); slices.ContainsFunc(kept, func(r api.Release) bool { return r.Number == 1 }) {
			t.Fatal("the release of the label is still kept: this shows too little")
		}
	})
}
