package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// rollout is one deployment of web, with two instances.
type rollout struct {
	id    string
	r     api.Release
	fence uint64
}

func newRollout(id string, number int, image api.Image) *rollout {
	s := pipeline.Service{
		Name: "web", Image: pipeline.Image{Target: "web"}, Mode: pipeline.ModeReplicated, Count: 2,
		Ports: []pipeline.Port{{Name: "http", To: 8080, Publish: 8000, Protocol: "tcp"}},
		Check: &pipeline.Check{Type: pipeline.CheckHTTP, Port: "http", Path: "/up",
			Interval: pipeline.Duration(200 * time.Millisecond), Timeout: pipeline.Duration(time.Second), Retries: 3},
		Update: pipeline.Update{HealthyDeadline: pipeline.Duration(10 * time.Second),
			MinHealthyTime: pipeline.Duration(300 * time.Millisecond), Drain: pipeline.Duration(2 * time.Second)},
		Restart: pipeline.Restart{Policy: pipeline.RestartAlways, Delay: pipeline.Duration(100 * time.Millisecond)},
		Stop:    pipeline.Stop{Grace: pipeline.Duration(time.Second), Signal: "SIGKILL"},
	}
	return &rollout{id: id, r: api.Release{
		Project: "shop", Environment: "prod", Number: number, Services: []pipeline.Service{s},
		Images:    map[string]api.Image{"web": image},
		Placement: map[string][]string{"p1": {"web/1", "web/2"}}, ConfirmIn: pipeline.Duration(time.Minute), Retain: 3,
	}}
}

// begin takes the lease and prepares.
func (d *rollout) begin(h *testHost, ttl int) error {
	ctx := context.Background()
	lease, err := h.AcquireLease(ctx, api.AcquireLease{TTL: ttl, ID: d.id})
	if err != nil {
		return err
	}
	d.fence = lease.Fence
	sources := map[string][]api.ImageSource{}
	for _, image := range d.r.Images {
		sources[image.Digest] = []api.ImageSource{{Kind: "registry", Address: h.registry + "/shop/web", Insecure: true}}
	}
	_, err = h.Prepare(ctx, api.Prepare{Deployment: d.id, Fence: d.fence, Kind: "deploy", Host: "p1", Release: d.r, Sources: sources}, logged(h))
	return err
}

// roll replaces the instances one after the other.
func (d *rollout) roll(h *testHost) error {
	for _, instance := range d.r.Placement["p1"] {
		var steps []api.Step
		for _, action := range []string{api.ActionStart, api.ActionSwitch, api.ActionRetire} {
			steps = append(steps, api.Step{Key: instance + action, Action: action, Instances: []string{instance}})
		}
		if _, err := h.Steps(context.Background(), d.id, api.Steps{Fence: d.fence, Steps: steps}, logged(h)); err != nil {
			return err
		}
	}
	return nil
}

func (d *rollout) confirm(h *testHost) error {
	if _, err := h.Confirm(context.Background(), d.id, api.Confirm{Fence: d.fence}); err != nil {
		return err
	}
	return h.ReleaseLease(context.Background(), d.fence)
}

func (d *rollout) run(h *testHost) error {
	if err := d.begin(h, 60); err != nil {
		return err
	}
	if err := d.roll(h); err != nil {
		return err
	}
	return d.confirm(h)
}

func logged(h *testHost) event.Sink {
	return event.Func(func(e event.Event) {
		if e.Type != event.Progress {
			h.t.Logf("%s %s %s %s%s", e.Time.Format("05.000"), e.Type, e.Instance, e.State, e.Text)
		}
	})
}

// load asks the published port all the time and counts what fails.
type load struct {
	stop   chan struct{}
	done   sync.WaitGroup
	asked  int
	failed []string
}

func newLoad() *load {
	l := &load{stop: make(chan struct{})}
	l.done.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			l.asked++
			if _, err := get("up"); err != nil {
				l.failed = append(l.failed, err.Error())
			}
		}
	})
	return l
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	t.Logf("%d requests, %d failed", l.asked, len(l.failed))
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(l.failed), l.asked, l.failed[0])
	}
}

func wantVersion(t *testing.T, h *testHost, want string) {
	t.Helper()
	for range 4 { // both containers
		if got, err := get(""); err != nil || got != want {
			t.Fatalf("the published port answers %q (%v), want %q", got, err, want)
		}
	}
}

// TestRelease deploys, replaces under load, reverts a sick release, survives
// the end of the daemon, and takes everything down.
func TestRelease(t *testing.T) {
	if !isolated(t) {
		return
	}
	h := newHost(t)
	one, two := h.push("one"), h.push("two")
	began := time.Now()
	if err := newRollout("d1", 1, one).run(h); err != nil {
		t.Fatal(err)
	}
	t.Logf("first release: %s", time.Since(began))
	wantVersion(t, h, "one")

	under := newLoad()
	began = time.Now()
	if err := newRollout("d2", 2, two).run(h); err != nil {
		t.Fatal(err)
	}
	t.Logf("second release: %s", time.Since(began))
	wantVersion(t, h, "two")

	sick := newRollout("d3", 3, one)
	sick.r.Services[0].Env = map[string]string{"PORT": "9"}
	sick.r.Services[0].Update.HealthyDeadline = pipeline.Duration(time.Second)
	err := sick.run(h)
	var fault *api.Error
	if !errors.As(err, &fault) || fault.Code != api.CodeUnhealthy || len(fault.Logs) == 0 {
		t.Fatalf("a sick release: %v (%+v)", err, fault)
	}
	t.Logf("sick: %s; %s; %q", fault.Message, fault.Detail, fault.Logs)
	if _, err := h.Revert(context.Background(), "d3", api.Revert{Fence: sick.fence, Reason: fault.Message}, logged(h)); err != nil {
		t.Fatal(err)
	}
	if err := h.ReleaseLease(context.Background(), sick.fence); err != nil {
		t.Fatal(err)
	}
	wantVersion(t, h, "two")

	h.kill()
	wantVersion(t, h, "two")
	h.start()
	wantVersion(t, h, "two")

	began = time.Now()
	if err := newRollout("d4", 1, one).run(h); err != nil {
		t.Fatal(err)
	}
	t.Logf("rollback: %s", time.Since(began))
	wantVersion(t, h, "one")
	under.end(t)
	checkEnvironment(t, h, 1, 2)
}

func checkEnvironment(t *testing.T, h *testHost, release int, previous ...int) {
	t.Helper()
	env, err := h.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if env.Current.Number != release || fmt.Sprint(env.Previous) != fmt.Sprint(previous) || len(env.Drift) > 0 || len(env.Instances) != 2 {
		t.Errorf("release %d, previous %v, drift %v, %d instances; want %d and %v", env.Current.Number, env.Previous, env.Drift, len(env.Instances), release, previous)
	}
	for _, i := range env.Instances {
		if i.State != "running" || !i.Serving {
			t.Errorf("%+v does not serve", i)
		}
	}
}

func isCode(err error, code string) bool {
	var fault *api.Error
	return errors.As(err, &fault) && fault.Code == code
}
