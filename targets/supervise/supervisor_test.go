package supervise

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
)

// probe is one check, made to order.
type probe = func(context.Context, runtime.Container) error

func well(context.Context, runtime.Container) error { return nil }

func failing(err error) probe {
	return func(context.Context, runtime.Container) error { return err }
}

// supervise runs f beside a Supervisor, with a clock that stands while
// something can go on.
func supervise(t *testing.T, c runtime.Container, probe probe, f func(*testing.T, *fakeEngine, *Supervisor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(c)
		s := New(e, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		s.probe = probe
		go func() { done <- s.Run(ctx) }()
		f(t, e, s)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func restarting(r pipeline.Restart) runtime.Container {
	return runtime.Container{Spec: runtime.Spec{Name: "web", Restart: r}}
}

func second(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func TestRestartDelays(t *testing.T) {
	always := pipeline.Restart{Policy: pipeline.RestartAlways, Delay: pipeline.Duration(second(1))}
	tests := []struct {
		name   string
		policy pipeline.Restart
		code   int
		runs   []float64 // seconds that each run lasts
		waits  []float64 // seconds before each restart; fewer than runs where it gives up
	}{
		{"doubles up to a minute", always, 1, []float64{0, 0, 0, 0, 0, 0, 0, 0}, []float64{1, 2, 4, 8, 16, 32, 60, 60}},
		{"a good run begins anew", always, 0, []float64{0, 0, 30, 0}, []float64{1, 2, 1, 2}},
		{"ten times the delay is enough", always, 0, []float64{0, 10, 0}, []float64{1, 1, 2}},
		{"a shorter run is not", always, 0, []float64{0, 9, 0}, []float64{1, 2, 4}},
		{"never", pipeline.Restart{Policy: pipeline.RestartNever}, 1, []float64{0}, nil},
		{"on failure", pipeline.Restart{Policy: pipeline.RestartOnFailure}, 1, []float64{0, 0}, []float64{.5, 1}},
		{"on failure, but it did well", pipeline.Restart{Policy: pipeline.RestartOnFailure}, 0, []float64{0}, nil},
		{"attempts", pipeline.Restart{Policy: pipeline.RestartOnFailure, Attempts: 2}, 1, []float64{0, 0, 0}, []float64{.5, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			supervise(t, restarting(tt.policy), well, func(t *testing.T, e *fakeEngine, _ *Supervisor) {
				for i, run := range tt.runs {
					synctest.Wait()
					time.Sleep(second(run))
					ended := time.Now()
					e.exit(tt.code)
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					if i >= len(tt.waits) {
						if len(e.starts) > i {
							t.Fatalf("started again after run %d", i+1)
						}
						continue
					}
					if len(e.starts) != i+1 {
						t.Fatalf("%d starts after run %d", len(e.starts), i+1)
					}
					if wait := e.starts[i].Sub(ended); wait != second(tt.waits[i]) {
						t.Errorf("restart %d after %v, want %v", i+1, wait, second(tt.waits[i]))
					}
					e.change("", func(c *runtime.Container) { c.Started = time.Now() }) // the sleep above is not part of the run
				}
			})
		})
	}
}

func TestStoppedIsNotRestarted(t *testing.T) {
	supervise(t, restarting(pipeline.Restart{Policy: pipeline.RestartAlways}), well, func(t *testing.T, e *fakeEngine, _ *Supervisor) {
		synctest.Wait()
		e.exit(1)
		synctest.Wait()
		e.change("", func(c *runtime.Container) { c.Wanted = false }) // while its restart is waited for
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(e.starts) != 0 {
			t.Error("a stopped container was started")
		}
	})
}

func TestFailedStartsBackOff(t *testing.T) {
	supervise(t, restarting(pipeline.Restart{Policy: pipeline.RestartAlways, Attempts: 4}), well, func(t *testing.T, e *fakeEngine, _ *Supervisor) {
		e.failing = true
		synctest.Wait()
		e.exit(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(e.starts) != 4 {
			t.Errorf("%d starts, want 4", len(e.starts))
		}
	})
}

// TestFailedStartsDouble: a container that ran well for long and then can't be
// started any more is tried less and less often.
func TestFailedStartsDouble(t *testing.T) {
	supervise(t, restarting(pipeline.Restart{Policy: pipeline.RestartAlways}), well, func(t *testing.T, e *fakeEngine, _ *Supervisor) {
		synctest.Wait()
		time.Sleep(time.Hour)
		e.failing = true
		e.exit(1)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for i, want := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
			if i+1 >= len(e.starts) {
				t.Fatalf("%d starts only", len(e.starts))
			}
			if wait := e.starts[i+1].Sub(e.starts[i]); wait != second(want) {
				t.Errorf("try %d after %v, want %v s", i+2, wait, want)
			}
		}
	})
}

// TestTakesUpTheEnded: what ended while the agent was away is started.
func TestTakesUpTheEnded(t *testing.T) {
	c := restarting(pipeline.Restart{Policy: pipeline.RestartAlways})
	c.State, c.Wanted, c.ExitCode = runtime.Exited, true, 255
	supervise(t, c, well, func(t *testing.T, e *fakeEngine, _ *Supervisor) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(e.starts) != 1 {
			t.Errorf("%d starts, want 1", len(e.starts))
		}
	})
}

func checked() runtime.Container {
	c := restarting(pipeline.Restart{Policy: pipeline.RestartAlways})
	c.Spec.Check = &runtime.Check{Type: "http", Port: 8080, Interval: pipeline.Duration(second(2)), Retries: 3, StartPeriod: pipeline.Duration(second(10))}
	return c
}

// TestHealth follows a container from its start over failures and back.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(checked())
		s := New(e, nil)
		start := time.Now()
		down := func(from, to float64) bool {
			now := time.Since(start)
			return now >= second(from) && now < second(to)
		}
		s.probe = func(context.Context, runtime.Container) error {
			if down(0, 5) || down(20, 23) || down(30, 40) {
				return errors.New("connection refused")
			}
			return nil
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		var statuses []string
		var times []time.Duration
		early := 0
		for i, h := range e.history {
			if i == 0 || e.history[i-1].Status != h.Status {
				statuses = append(statuses, h.Status)
				times = append(times, h.Since.Sub(start))
			}
			if h.Status == api.HealthStarting && h.Tries > 0 {
				early++
			}
		}
		if got := strings.Join(statuses, " "); got != "starting healthy unhealthy healthy" {
			t.Fatalf("statuses %s at %v", got, times)
		}
		if times[1] < second(5) || times[1] > second(6.5) {
			t.Errorf("healthy after %v, want soon after 5s", times[1])
		}
		if early < 10 {
			t.Errorf("%d checks in the first 5s, want the first ones close together", early)
		}
		if times[2] < second(34) || times[2] > second(37) {
			t.Errorf("unhealthy at %v: the third failure in a row from 30s on was wanted", times[2])
		}
		if times[3] < second(40) || times[3] > second(42) {
			t.Errorf("healthy again at %v, want the first check after 40s", times[3])
		}
	})
}

// TestStartingEnds: one that never answers is unhealthy after its start period
// and its retries.
func TestStartingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(checked())
		s := New(e, nil)
		start := time.Now()
		s.probe = func(ctx context.Context, _ runtime.Container) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		stop()
		<-done
		last := e.history[len(e.history)-1]
		if last.Status != api.HealthUnhealthy || last.Last != "no answer within 5s" {
			t.Errorf("%+v", last)
		}
		if at := last.Since.Sub(start); at < second(16) || at > second(22) {
			t.Errorf("unhealthy after %v, want the first check after 16s", at)
		}
	})
}

func TestDestroyEndsTheWatch(t *testing.T) {
	supervise(t, checked(), well, func(t *testing.T, e *fakeEngine, s *Supervisor) {
		synctest.Wait()
		e.change("destroy", func(c *runtime.Container) { c.State = runtime.Exited })
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.wards) != 0 {
			t.Error("it is still watched")
		}
	})
}

// TestUnhealthyIsRestarted: an instance that is unhealthy for its check's
// RestartAfter is started again, less and less often while it never gets well,
// whatever its restart policy makes of its exit code.
func TestUnhealthyIsRestarted(t *testing.T) {
	for _, policy := range []string{pipeline.RestartAlways, pipeline.RestartOnFailure} {
		c := restarting(pipeline.Restart{Policy: policy, Delay: pipeline.Duration(second(1))})
		c.Spec.Check = &runtime.Check{
			Type: pipeline.CheckTCP, Interval: pipeline.Duration(second(1)), Retries: 2, RestartAfter: pipeline.Duration(second(30)),
		}
		supervise(t, c, failing(errors.New("refused")), func(t *testing.T, e *fakeEngine, _ *Supervisor) {
			began := time.Now()
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if len(e.starts) < 4 {
				t.Fatalf("%s: %d starts", policy, len(e.starts))
			}
			if first := e.starts[0].Sub(began); first < second(32) || first > second(35) {
				t.Errorf("%s: started again after %v, want 30 s of being unhealthy", policy, first)
			}
			first, third := e.starts[1].Sub(e.starts[0]), e.starts[3].Sub(e.starts[2])
			if third-first < second(5) {
				t.Errorf("%s: it is started again as often as before: after %v, then after %v", policy, first, third)
			}
		})
	}
}

// TestUnhealthyStaysWithoutRestartAfter: nobody asked for it.
func TestUnhealthyStaysWithoutRestartAfter(t *testing.T) {
	c := restarting(pipeline.Restart{Policy: pipeline.RestartAlways})
	c.Spec.Check = &runtime.Check{Type: pipeline.CheckTCP}
	supervise(t, c, failing(errors.New("refused")), func(t *testing.T, e *fakeEngine, _ *Supervisor) {
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(e.starts) != 0 {
			t.Errorf("%d starts", len(e.starts))
		}
	})
}
