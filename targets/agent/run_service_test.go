package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
)

// begun is a run of a service under way.
type begun struct {
	id    string
	ended chan struct{}
	run   *api.ServiceRun
	err   error
}

// beginRun has a container of web made and, as a client does, starts it.
func (w *world) beginRun(ctx context.Context, r *running, req api.RunService) *begun {
	w.t.Helper()
	b := &begun{ended: make(chan struct{})}
	staged := make(chan string, 1)
	go func() {
		defer close(b.ended)
		b.run, b.err = r.RunService(ctx, "web", req, func(id string, _ bool) { staged <- id })
	}()
	b.id = <-staged
	if err := (*fakeContainers)(w).Start(context.Background(), b.id); err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) end(id string, code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.containers[id].State, w.containers[id].ExitCode = runtime.Exited, code
}

func (w *world) container(id string) *runtime.Container {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.containers[id]
}

// TestRunService runs a container beside those of the release: it is no drift,
// no deployment takes it away, and it is gone when it has ended, or its client.
func TestRunService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		b := w.beginRun(t.Context(), r, api.RunService{Command: []string{"sh"}, Env: []string{"A=1"}, User: "nobody", TTY: true})
		spec := w.container(b.id).Spec
		if spec.Check == nil || spec.Check.Type != pipeline.CheckNone || spec.Restart.Policy != pipeline.RestartNever || !spec.TTY || spec.OpenStdin || spec.User != "nobody" ||
			len(spec.Command) != 1 || spec.Image != digest(1) || spec.Network != "shop-prod" || spec.Labels[runtime.LabelService] != "" {
			t.Errorf("the container: %+v", spec)
		}
		env, err := r.Get(t.Context())
		if err != nil || len(env.Drift) > 0 || len(env.Runs) != 1 || env.Runs[0].Instance != "web/run" || env.Runs[0].Release != 1 {
			t.Errorf("while it runs: %+v, %v", env, err)
		}
		if err := (&sequence{t: t, id: "d2", r: second, steps: forward}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // old containers are retired, images collected
		if c := w.container(b.id); c == nil || c.State != runtime.Running {
			t.Errorf("a deployment ended it: %+v", c)
		}
		w.end(b.id, 9)
		if <-b.ended; b.err != nil || b.run.ExitCode != 9 {
			t.Errorf("its end: %+v, %v", b.run, b.err)
		}
		if w.container(b.id) != nil {
			t.Error("it is left")
		}
		ctx, leave := context.WithCancel(t.Context())
		b = w.beginRun(ctx, r, api.RunService{})
		leave()
		<-b.ended
		time.Sleep(time.Second)
		if w.container(b.id) != nil {
			t.Error("it outlives its client")
		}
		if _, err := r.RunService(t.Context(), "old", api.RunService{}, nil); !isCode(err, api.CodeNotFound) {
			t.Errorf("a service that is not here: %v", err)
		}
		w.assertRelease(r, 2, second)
	})
}
