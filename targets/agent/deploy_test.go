package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

const host = "p1"

func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func service(name string) pipeline.Service {
	return pipeline.Service{
		Name: name, Mode: pipeline.ModeReplicated, Count: 1,
		Ports: []pipeline.Port{{Name: "http", To: 8080, Protocol: "tcp"}},
		Check: &pipeline.Check{Type: pipeline.CheckHTTP, Port: "http", Path: "/up"},
		Update: pipeline.Update{
			MinHealthyTime: pipeline.Duration(time.Second), HealthyDeadline: pipeline.Duration(10 * time.Second),
			Drain: pipeline.Duration(3 * time.Second),
		},
		Restart: pipeline.Restart{Policy: pipeline.RestartAlways},
	}
}

// release returns a release of these instances, whose images are named by
// number: "web/1" → 7.
func release(number int, images map[string]int, instances ...string) api.Release {
	r := api.Release{
		Project: "shop", Environment: "prod", Number: number, Images: map[string]api.Image{},
		Placement: map[string][]string{host: instances}, ConfirmIn: pipeline.Duration(time.Minute), Retain: 3,
	}
	for _, instance := range instances {
		name, _, _ := strings.Cut(instance, "/")
		if _, known := r.Images[name]; known {
			continue
		}
		r.Images[name] = api.Image{Name: "shop/" + name, Digest: digest(images[name])}
		r.Services = append(r.Services, service(name))
	}
	return r
}

// sequence is a deployment as a client does it.
type sequence struct {
	t     *testing.T
	fence uint64
	id    string
	r     api.Release
	steps []api.Step

	values map[string]string // of secrets, by version
}

func (s *sequence) prepare() api.Prepare {
	sources := map[string][]api.ImageSource{}
	for _, image := range s.r.Images {
		sources[image.Digest] = []api.ImageSource{{Kind: "peer", Address: "/run/dray/peer/1.sock"}}
	}
	return api.Prepare{Deployment: s.id, Fence: s.fence, Kind: "deploy", Host: host, Release: s.r, Sources: sources, Secrets: s.values}
}

// roll starts, switches and retires these instances one after the other.
func roll(instances ...string) (steps []api.Step) {
	for _, instance := range instances {
		for _, action := range []string{api.ActionStart, api.ActionSwitch, api.ActionRetire} {
			steps = append(steps, api.Step{Key: instance + "." + action, Action: action, Instances: []string{instance}})
		}
	}
	return steps
}

// noRetire leaves what is replaced to the agent.
func noRetire(steps []api.Step) []api.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s api.Step) bool { return s.Action == api.ActionRetire })
}

// begin takes the lease and prepares.
func (s *sequence) begin(r *running) error {
	ctx := context.Background()
	lease, err := r.AcquireLease(ctx, api.AcquireLease{TTL: 20, ID: s.id, Holder: api.Actor{User: "mira"}})
	if err != nil {
		return err
	}
	s.fence = lease.Fence
	_, err = r.Prepare(ctx, s.prepare(), nil)
	return err
}

// run does the whole deployment and returns the first fault.
func (s *sequence) run(r *running) error {
	ctx := context.Background()
	if err := s.begin(r); err != nil {
		return err
	}
	for _, step := range s.steps {
		if _, err := r.RenewLease(ctx, api.RenewLease{Fence: s.fence, TTL: 20}); err != nil {
			return err
		}
		if _, err := r.Steps(ctx, s.id, api.Steps{Fence: s.fence, Steps: []api.Step{step}}, nil); err != nil {
			return err
		}
	}
	if _, err := r.Confirm(ctx, s.id, api.Confirm{Fence: s.fence}); err != nil {
		return err
	}
	return r.ReleaseLease(ctx, s.fence)
}

var (
	first  = release(1, map[string]int{"web": 1, "db": 2, "old": 3}, "db/1", "old/1", "web/1", "web/2")
	second = release(2, map[string]int{"web": 11, "db": 2, "new": 4}, "db/1", "new/1", "web/1", "web/2")
	// forward is the rollout from first to second.
	forward = append(roll("web/1", "web/2", "new/1"), roll("old/1")[1:]...)
)

// deployed boots a world in which first is confirmed.
func deployed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	r := w.boot(0)
	s := &sequence{t: t, id: "d1", r: first, steps: roll(first.Placement[host]...)}
	if err := s.run(r); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	r.stop()
	w.mustServe = []string{"web", "db"}
	return w
}

func TestDeployKeepsWhatIsAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.created, w.started = 0, 0
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d2", r: second, steps: forward}
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		if w.created != 3 || w.started != 3 {
			t.Errorf("%d containers created and %d started, want web/1, web/2 and new/1 only", w.created, w.started)
		}
		w.assertRelease(r, 2, second)
	})
}

func TestPrepareAgainChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		again := first
		again.Number = 2
		s := &sequence{t: t, id: "d2", r: again}
		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20})
		if err != nil {
			t.Fatal(err)
		}
		s.fence = lease.Fence
		for range 2 {
			got, err := r.Prepare(t.Context(), s.prepare(), nil)
			if err != nil || !got.Already || len(got.Instances) != 4 {
				t.Fatalf("Prepare = %+v, %v; want Already with 4 instances", got, err)
			}
			for _, i := range got.Instances {
				if !i.Serving {
					t.Errorf("%s does not serve", i.Instance)
				}
			}
		}
		if _, err := r.Confirm(t.Context(), "d2", api.Confirm{Fence: s.fence}); err != nil {
			t.Fatal(err)
		}
		w.assertRelease(r, 2, again)
	})
}

func TestUnhealthyGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		w.sick[digest(11)] = true
		r := w.boot(0)
		defer r.stop()
		s := &sequence{t: t, id: "d2", r: second, steps: forward}
		err := s.run(r)
		var fault *api.Error
		if !errors.As(err, &fault) || fault.Code != api.CodeUnhealthy || fault.Instance != "web/1" || len(fault.Logs) == 0 {
			t.Fatalf("deploying: %#v, want CodeUnhealthy of web/1 with its log", err)
		}
		if _, err := r.Revert(t.Context(), "d2", api.Revert{Fence: s.fence, Reason: "unhealthy"}, nil); err != nil {
			t.Fatal(err)
		}
		w.assertRelease(r, 1, first)
		if _, err := r.Revert(t.Context(), "d2", api.Revert{Fence: s.fence}, nil); err != nil {
			t.Errorf("reverting again: %v", err)
		}
		w.assertHistory(r, api.StateReverted)
		var said []string
		kept, err := r.ReleaseLogs(t.Context(), api.ReleaseNumber{Number: 2}, "web", 0, event.Func(func(e event.Event) { said = append(said, e.Instance+": "+e.Text) }))
		if err != nil || len(kept.Instances) != 2 || !slices.Contains(said, "web/1: last words of web-1") {
			t.Errorf("the failed release's output: %+v, %v, %q", kept, err, said)
		}
		if _, err := r.ReleaseLogs(t.Context(), api.ReleaseNumber{Number: 1}, "", 0, nil); !isCode(err, api.CodeNotFound) {
			t.Errorf("the output of a release that runs: %v", err)
		}
	})
}

func TestRollbackReusesKeptContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		if err := (&sequence{t: t, id: "d2", r: second, steps: forward}).run(r); err != nil {
			t.Fatal(err)
		}
		w.created = 0
		back := append(roll("web/1", "web/2", "old/1"), roll("new/1")[1:]...)
		if err := (&sequence{t: t, id: "d3", r: first, steps: back}).run(r); err != nil {
			t.Fatal(err)
		}
		if w.created != 0 {
			t.Errorf("%d containers were created, want none", w.created)
		}
		w.assertRelease(r, 1, first)
	})
}

// TestWhatServesAgainIsNotRetired goes back while a container of the release
// before still drains: at the end of its time it must not be stopped, for it
// is the one that serves.
func TestWhatServesAgainIsNotRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		w.mu.Lock()
		for _, c := range w.containers {
			if c.Spec.Labels[runtime.LabelService] == "web" {
				w.busy[c.Address.String()] = true // somebody keeps a connection open
			}
		}
		w.mu.Unlock()
		if err := (&sequence{t: t, id: "d2", r: second, steps: noRetire(forward)}).run(r); err != nil {
			t.Fatal(err)
		}
		back := append(roll("web/1", "web/2", "old/1"), roll("new/1")[1:]...)
		if err := (&sequence{t: t, id: "d3", r: first, steps: noRetire(back)}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the test's own clock: every drain is over
		w.assertRelease(r, 1, first)
	})
}

// TestWhatIsBeingStoppedIsNotTakenUp goes back while the containers of the
// release before have been told to end, and take their time.
func TestWhatIsBeingStoppedIsNotTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		w.mu.Lock()
		w.stopTakes = 5 * time.Second
		w.mu.Unlock()
		if err := (&sequence{t: t, id: "d2", r: second, steps: noRetire(forward)}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the first of them has been told
		back := append(roll("web/1", "web/2", "old/1"), roll("new/1")[1:]...)
		if err := (&sequence{t: t, id: "d3", r: first, steps: noRetire(back)}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.assertRelease(r, 1, first)
	})
}

// TestTidyingGoesOn: what can't be stopped after a deployment is stopped later.
func TestTidyingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		w.mu.Lock()
		w.diskFull = true
		w.mu.Unlock()
		if err := (&sequence{t: t, id: "d2", r: second, steps: noRetire(forward)}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if w.runs(1, "web/1") != 1 {
			t.Fatal("the old container has ended")
		}
		w.mu.Lock()
		w.diskFull = false
		w.mu.Unlock()
		time.Sleep(time.Minute)
		w.assertRelease(r, 2, second)
	})
}

func TestPrepareFailureLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		taken := second
		taken.Services = slices.Clone(second.Services)
		for i := range taken.Services {
			taken.Services[i].Ports = []pipeline.Port{{Name: "http", To: 80, Publish: 81, Protocol: "tcp"}}
		}
		w.reserved["81/tcp"] = "nginx"
		var fault *api.Error
		err := (&sequence{t: t, id: "d2", r: taken, steps: forward}).run(r)
		if !errors.As(err, &fault) || fault.Code != api.CodePort || fault.Port != "http" || fault.Service == "" {
			t.Fatalf("deploying with a taken port: %#v", err)
		}
		w.assertRelease(r, 1, first)
		w.assertHistory(r, api.StateDiscarded)
	})
}

func TestLeaseEndTakesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		for stopAfter := range len(forward) + 1 {
			r := w.boot(0)
			s := &sequence{t: t, id: fmt.Sprintf("d%d", 2+stopAfter), r: second, steps: forward[:stopAfter]}
			lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 20})
			if err != nil {
				t.Fatal(err)
			}
			s.fence = lease.Fence
			if _, err := r.Prepare(t.Context(), s.prepare(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Steps(t.Context(), s.id, api.Steps{Fence: s.fence, Steps: s.steps}, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second) // in the bubble: past the lease
			synctest.Wait()
			w.assertRelease(r, 1, first)
			_, err = r.Steps(t.Context(), s.id, api.Steps{Fence: s.fence, Steps: forward}, nil)
			if !isCode(err, api.CodeFenced) {
				t.Errorf("a step after the end of the lease: %v, want CodeFenced", err)
			}
			r.stop()
		}
		if len(w.gaps) > 0 {
			t.Errorf("not reachable: %v", w.gaps)
		}
	})
}

func isCode(err error, code string) bool {
	var fault *api.Error
	return errors.As(err, &fault) && fault.Code == code
}

// assertRelease checks that the environment is wholly on a release, with
// nothing under way and nothing else running.
func (w *world) assertRelease(r *running, number int, want api.Release) {
	w.t.Helper()
	synctest.Wait()
	env, err := r.Get(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	if env.Deployment != nil {
		w.t.Errorf("deployment %s is still %s", env.Deployment.ID, env.Deployment.State)
	}
	if env.Current == nil || env.Current.Number != number {
		w.t.Fatalf("current is %+v, want release %d", env.Current, number)
	}
	if len(env.Drift) > 0 {
		w.t.Errorf("drift: %+v", env.Drift)
	}
	w.assertInstances(env, want)
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := 0
	for _, c := range w.containers {
		if c.State == runtime.Running {
			runs++
		}
	}
	if runs != len(want.Placement[host]) {
		w.t.Errorf("%d containers run, want %d", runs, len(want.Placement[host]))
	}
	for _, s := range want.Services {
		backends := len(w.routes[s.Name].Backends)
		if want := count(want.Placement[host], s.Name); backends != want {
			w.t.Errorf("%d containers of %s are in the rotation, want %d", backends, s.Name, want)
		}
	}
	if len(w.routes) != len(want.Services) {
		w.t.Errorf("the kernel knows the services %v, want %d", w.routes, len(want.Services))
	}
}

func (w *world) assertInstances(env *api.Environment, want api.Release) {
	w.t.Helper()
	var got []string
	for _, i := range env.Instances {
		got = append(got, i.Instance)
		name, _, _ := strings.Cut(i.Instance, "/")
		if i.State != "running" || !i.Serving || i.Image != want.Images[name].Digest {
			w.t.Errorf("%s is %s, serving %t, image %s, want it running, serving %s", i.Instance, i.State, i.Serving, i.Image, want.Images[name].Digest)
		}
	}
	if !slices.Equal(got, want.Placement[host]) {
		w.t.Errorf("instances are %v, want %v", got, want.Placement[host])
	}
}

func (w *world) assertHistory(r *running, result string) {
	w.t.Helper()
	records, err := r.History(context.Background(), 1)
	if err != nil || len(records) != 1 || records[0].Result != result {
		w.t.Errorf("the history's newest line is %+v (%v), want %s", records, err, result)
	}
}

func count(instances []string, service string) (n int) {
	for _, i := range instances {
		if name, _, _ := strings.Cut(i, "/"); name == service {
			n++
		}
	}
	return n
}

// TestLateStepLeavesTheConfirmation: a step that retires containers beside the
// confirmation finds the deployment confirmed at its end, and leaves it so.
func TestLateStepLeavesTheConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		e := r.agent.environmentOf("shop", "prod")
		late, err := r.agent.load(e, "d1", nil)
		if err != nil {
			t.Fatal(err)
		}
		late.State = api.StateCommitting // as it was when the step began
		if err := r.agent.committed(t.Context(), late); err != nil || late.State != api.StateConfirmed {
			t.Errorf("the deployment is %s (%v), want it confirmed", late.State, err)
		}
		w.assertRelease(r, 1, first)
	})
}
