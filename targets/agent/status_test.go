package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"dray/targets/api"
	"dray/targets/runtime"
)

func TestDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		env, err := r.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{}
		for _, i := range env.Instances {
			ids[i.Instance] = i.ContainerID
		}
		parts := w.parts()
		_ = parts.Containers.Stop(t.Context(), ids["web/1"])
		_ = parts.Containers.Remove(t.Context(), ids["old/1"])
		w.mu.Lock()
		w.containers[ids["db/1"]].Spec.Labels[labelFingerprint] = "other"
		extra := *w.containers[ids["web/2"]]
		extra.ID = "extra"
		w.containers["extra"] = &extra
		draining := extra // of an earlier release
		draining.ID, draining.Spec.Labels = "draining", maps.Clone(extra.Spec.Labels)
		draining.Spec.Labels[runtime.LabelDeployment], draining.Spec.Labels[runtime.LabelInstance] = "d0", "web/9"
		w.containers["draining"] = &draining
		w.mu.Unlock()
		for _, want := range []string{
			"changed db/1; extra web/2; missing old/1; stopped web/1; ",
			"changed db/1; extra web/2; extra web/9; missing old/1; stopped web/1; ",
		} {
			if env, err = r.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
			slices.SortStableFunc(env.Drift, func(a, b api.Drift) int {
				return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Instance, b.Instance))
			})
			got := ""
			for _, d := range env.Drift {
				got += d.Kind + " " + d.Instance + "; "
			}
			if got != want {
				t.Errorf("drift is %q, want %q", got, want)
			}
			time.Sleep(10 * time.Minute) // nothing drains for so long
		}
	})
}

// TestSickLeavesTheRotation takes containers out while another one can answer.
func TestSickLeavesTheRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		backends := func(health map[string]string) int {
			w.mu.Lock()
			for _, c := range w.containers {
				if status := health[c.Spec.Labels[runtime.LabelInstance]]; status != "" {
					c.Health.Status = status
					w.change(c, "health_status: "+status)
				}
			}
			w.mu.Unlock()
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.routes["web"].Backends)
		}
		for _, c := range []struct {
			one, two string
			want     int
		}{
			{api.HealthUnhealthy, api.HealthHealthy, 1},
			{api.HealthUnhealthy, api.HealthUnhealthy, 2}, // nobody is better than the other
			{api.HealthHealthy, api.HealthUnhealthy, 1},
			{api.HealthHealthy, api.HealthHealthy, 2},
		} {
			if got := backends(map[string]string{"web/1": c.one, "web/2": c.two}); got != c.want {
				t.Errorf("with %s and %s: %d containers in the rotation, want %d", c.one, c.two, got, c.want)
			}
		}
	})
}

// TestUncheckedWaitsForItsCheck: a container that has come up again does not take
// connections before its health was looked at, as long as another one can.
func TestUncheckedWaitsForItsCheck(t *testing.T) {
	agentStarted := time.Now()
	checked := runtime.Spec{Check: &runtime.Check{}}
	up := func(spec runtime.Spec, started time.Time, health string) candidate {
		return candidate{container: runtime.Container{State: runtime.Running, Spec: spec, Started: started, Health: runtime.Health{Status: health}}}
	}
	before, after := agentStarted.Add(-time.Minute), agentStarted.Add(time.Minute)
	for _, c := range []struct {
		name string
		all  []candidate
		want int
	}{
		{"come up again", []candidate{up(checked, after, ""), up(checked, before, "healthy")}, 1},
		{"there before the agent", []candidate{up(checked, before, ""), up(checked, before, "healthy")}, 2},
		{"without a check", []candidate{up(runtime.Spec{}, after, ""), up(checked, before, "healthy")}, 2},
		{"nobody better", []candidate{up(checked, after, ""), up(checked, after, "starting")}, 1},
		{"alone", []candidate{up(checked, after, "")}, 1},
	} {
		if got := len(fit(c.all, agentStarted)); got != c.want {
			t.Errorf("%s: %d in the rotation, want %d", c.name, got, c.want)
		}
	}
}

// TestSickLeavesTheRotationMeanwhile: to read back what the kernel was told waits
// for containers that are busy, and keeps nobody in the rotation.
func TestSickLeavesTheRotationMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		backends := -1
		w.verifying = func() {
			w.mu.Lock()
			for _, c := range w.containers {
				if c.Spec.Labels[runtime.LabelInstance] == "web/1" {
					c.Health.Status = api.HealthUnhealthy
					w.change(c, "health_status: unhealthy")
				}
			}
			w.mu.Unlock()
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			backends = len(w.routes["web"].Backends)
		}
		e := r.agent.environmentOf("shop", "prod")
		if err := r.agent.reconcileTraffic(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if backends != 1 {
			t.Errorf("%d containers in the rotation while it is read back, want 1", backends)
		}
	})
}

func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.mustServe = nil
		w.volumes["shop-prod/data"] = true
		r := w.boot(0)
		defer r.stop()
		for _, volumes := range []bool{false, true} {
			lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 60})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Approve(t.Context(), api.Approve{ReleaseRef: api.ReleaseRef{Release: 1}, Content: "sha256:aa"}); err != nil {
				t.Fatal(err)
			}
			got, err := r.Down(t.Context(), api.Down{ID: fmt.Sprintf("gone-%t", volumes), Fence: lease.Fence, Volumes: volumes}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if volumes == (len(w.volumes) > 0) || volumes != (len(got.Volumes) == 1) || volumes == (len(got.Kept) == 1) {
				t.Errorf("Volumes %t: %+v, left %v", volumes, got, w.volumes)
			}
			if err := r.ReleaseLease(t.Context(), lease.Fence); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(w.containers) != 0 || len(w.routes) != 0 || len(w.images) != 0 {
			t.Errorf("left: %d containers, %d routes, images %v", len(w.containers), len(w.routes), w.images)
		}
		env, err := r.Get(t.Context())
		if err != nil || env.Current != nil || env.LastNumber != 1 || len(env.Approvals) > 0 {
			t.Errorf("after down: %+v, %v", env, err)
		}
		records, err := r.History(t.Context(), 0)
		if err != nil || len(records) != 3 || records[1].Kind != "down" || records[1].Deployment != "gone-false" || records[1].From != 1 || records[2].Release != 1 {
			t.Errorf("history: %+v, %v", records, err)
		}
		w.images = map[string]bool{}
		if err := (&sequence{t: t, id: "d9", r: first, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Errorf("deploying again: %v", err)
		}
	})
}

// TestDownEndsADeployment takes an environment down in the midst of a
// deployment, and finds both in the history.
func TestDownEndsADeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.mustServe = nil
		r := w.boot(0)
		defer r.stop()
		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 60})
		if err != nil {
			t.Fatal(err)
		}
		s := &sequence{t: t, id: "d2", r: second, fence: lease.Fence}
		if _, err := r.Prepare(t.Context(), s.prepare(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Down(t.Context(), api.Down{ID: "gone", Fence: lease.Fence}, nil); err != nil {
			t.Fatal(err)
		}
		records, err := r.History(t.Context(), 0)
		if err != nil || len(records) != 3 || records[0].Deployment != "gone" || records[1].Deployment != "d2" || records[1].Result != api.StateDiscarded {
			t.Errorf("history: %+v, %v", records, err)
		}
		if env, err := r.Get(t.Context()); err != nil || env.LastNumber != 2 || env.Deployment != nil {
			t.Errorf("after down: %+v, %v", env, err)
		}
	})
}

func TestDownSurvivesCrashes(t *testing.T) {
	for at := 2; at < 6; at++ { // 1 is the lease
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := deployed(t)
				w.mustServe = nil
				r := w.boot(at)
				lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 60})
				if err != nil {
					t.Fatal(err)
				}
				_, _ = r.Down(t.Context(), api.Down{Fence: lease.Fence}, nil)
				synctest.Wait()
				r.stop()
				r = w.boot(0)
				defer r.stop()
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(w.containers) != 0 || len(w.routes) != 0 {
					t.Errorf("left: %d containers, routes %v", len(w.containers), w.routes)
				}
			})
		})
	}
}

// TestEvidence checks what a host signs, as a client would.
func TestEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		raw, err := r.Evidence(t.Context(), api.ReleaseNumber{Number: 1})
		if err != nil {
			t.Fatal(err)
		}
		var envelope dsse.Envelope
		if err := json.Unmarshal(raw, &envelope); err != nil {
			t.Fatal(err)
		}
		h, err := r.client.Host(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := dsse.NewEnvelopeVerifier(hostSigner{r.agent.key})
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := verifier.Verify(context.Background(), &envelope)
		if err != nil || len(accepted) != 1 || accepted[0].KeyID != api.KeyID(h.PublicKey) {
			t.Fatalf("verifying: %+v, %v", accepted, err)
		}
		body, err := envelope.DecodeB64Payload()
		if err != nil {
			t.Fatal(err)
		}
		var s api.Evidence
		if err := json.Unmarshal(body, &s); err != nil {
			t.Fatal(err)
		}
		p := s.Predicate
		if s.Type != api.StatementType || len(s.Subject) != 3 || p.Environment != "prod" || p.Release != 1 || p.HostID != h.ID || p.Configuration != first.ContentHash() {
			t.Errorf("the statement: %+v", s)
		}
		if p.HealthySince.IsZero() || p.HealthySince.After(p.Confirmed) {
			t.Errorf("healthy since %s, confirmed %s", p.HealthySince, p.Confirmed)
		}
		if len(p.Instances) != 4 || p.Instances[0].Instance != "db/1" || p.Instances[0].Image != digest(2) || p.Instances[0].HealthySince.IsZero() {
			t.Errorf("it says of instances: %+v", p.Instances)
		}
		if _, err := r.Evidence(t.Context(), api.ReleaseNumber{Number: 2}); !isCode(err, api.CodeNotFound) {
			t.Errorf("evidence of a release that never was: %v", err)
		}
	})
}

// TestEvidenceIsOfThisHostAlone: a host signs what it ran. What another host ran,
// and what the client says of its checks, is not its word.
func TestEvidenceIsOfThisHostAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d1", r: release(1, map[string]int{"web": 1, "db": 2}, "web/1", "db/1"), steps: roll("web/1")}
		s.r.Placement = map[string][]string{host: {"web/1"}, "p2": {"db/1"}}
		err := s.begin(r)
		if err == nil {
			_, err = r.Steps(t.Context(), s.id, api.Steps{Fence: s.fence, Steps: s.steps}, nil)
		}
		if err == nil {
			_, err = r.Confirm(t.Context(), s.id, api.Confirm{Fence: s.fence, Skipped: []string{"p3"}, Verified: []api.VerifyResult{{Name: "smoke", Passed: true}}})
		}
		if err != nil {
			t.Fatal(err)
		}
		p := w.sworn(r, numberOne)
		if len(p.Images) != 1 || p.Images["web"].Digest != digest(1) || len(p.Instances) != 1 || p.Instances[0].Instance != "web/1" {
			t.Errorf("it swears of what another host has: %+v, %+v", p.Images, p.Instances)
		}
		if len(p.Verified) != 0 || len(p.Skipped) != 0 || p.Reported == nil || len(p.Reported.Verified) != 1 || len(p.Reported.Skipped) != 1 || p.Reported.By.User != "mira" {
			t.Errorf("what the client said is told as %+v, %+v, %+v", p.Verified, p.Skipped, p.Reported)
		}
	})
}

// TestNoEvidenceWithoutInstances: a host that has nothing of a release signs
// nothing about it.
func TestNoEvidenceWithoutInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d1", r: release(1, map[string]int{"db": 2}, "db/1")}
		s.r.Placement = map[string][]string{host: {}, "p2": {"db/1"}}
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Evidence(t.Context(), numberOne); !isCode(err, api.CodeNotFound) {
			t.Errorf("evidence of a host that ran nothing: %v", err)
		}
	})
}

func TestRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		for n := 1; n <= 5; n++ {
			s := &sequence{t: t, id: fmt.Sprintf("d%d", n), r: release(n, map[string]int{"web": n}, "web/1"), steps: roll("web/1")}
			if err := s.run(r); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		env, err := r.Get(t.Context())
		if err != nil || fmt.Sprint(env.Previous) != "[4 3]" {
			t.Errorf("previous releases are %v (%v), want 4 and 3: retain is 3", env.Previous, err)
		}
		kept := ""
		for _, c := range env.Kept {
			kept += fmt.Sprintf("%s of %s, %s; ", c.Instance, c.ReleaseNumber(), c.State)
		}
		if want := "web/1 of 3, exited; web/1 of 4, exited; "; kept != want {
			t.Errorf("kept for a rollback: %s, want %s", kept, want)
		}
		if len(w.containers) != 3 || len(w.images) != 3 {
			t.Errorf("%d containers and %d images are kept, want 3 each", len(w.containers), len(w.images))
		}
		releases, err := r.Releases(t.Context())
		if err != nil || len(releases) != 3 || releases[0].Number != 5 {
			t.Errorf("releases: %+v, %v", releases, err)
		}
	})
}
