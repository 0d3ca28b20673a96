package supervise

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
)

func TestWait(t *testing.T) {
	refused := errors.New("GET http://10.209.3.7:8080/up: connection refused")
	never := restarting(pipeline.Restart{Policy: pipeline.RestartNever})
	always := restarting(pipeline.Restart{Policy: pipeline.RestartAlways})
	oom := always
	oom.Spec.Resources.Memory = 256 << 20
	tests := []struct {
		name string
		c    runtime.Container
		fate func(*fakeEngine) // what happens to it, after a second each
		fail error             // of each check until 10 s
		want string            // part of the error; "" is none
		took float64           // seconds
	}{
		{"without a check", always, nil, nil, "", 5},
		{"healthy at once", checked(), nil, nil, "", 5},
		{"healthy after a while", checked(), nil, refused, "", 15},
		{"ends, and stays so", never, func(e *fakeEngine) { e.exit(3) }, nil, "it ended with code 3", 1},
		{"ends again and again", always, func(e *fakeEngine) { e.exit(137) }, nil, "it ended 3 times, the last time with code 137 (signal 9)", 3},
		{"uses too much memory", oom, func(e *fakeEngine) {
			e.change("oom", func(c *runtime.Container) { c.OOMKilled = true })
			e.exit(137)
		}, nil, "it ended 3 times, the last time because it used more memory than its limit of 256MiB", 3},
		{"stopped meanwhile", always, func(e *fakeEngine) {
			e.change("stop", func(c *runtime.Container) { c.State, c.Wanted = runtime.Exited, false })
		}, nil, "it was stopped", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			until10 := func(_ context.Context, c runtime.Container) error {
				if time.Since(c.Started) < second(10) {
					return tt.fail
				}
				return nil
			}
			supervise(t, tt.c, until10, func(t *testing.T, e *fakeEngine, s *Supervisor) {
				start := time.Now()
				if tt.fate != nil {
					go func() {
						for range 3 {
							time.Sleep(time.Second)
							for c, _ := e.Get("c"); c.State != runtime.Running; c, _ = e.Get("c") {
								time.Sleep(100 * time.Millisecond)
								if time.Since(start) > time.Minute {
									return
								}
							}
							tt.fate(e)
						}
					}()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := s.Wait(ctx, "c", second(5))
				took := time.Since(start)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if took < second(tt.took) || took > second(tt.took+2) {
					t.Errorf("took %v, want about %v", took, second(tt.took))
				}
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

// TestWaitTellsWhatWasTried: at the deadline the fault says how the last check
// failed, and how many there were.
func TestWaitTellsWhatWasTried(t *testing.T) {
	refused := errors.New("GET http://10.209.3.7:8080/up: connection refused")
	supervise(t, checked(), failing(refused), func(t *testing.T, _ *fakeEngine, s *Supervisor) {
		ctx, cancel := context.WithTimeout(t.Context(), second(20))
		defer cancel()
		err := s.Wait(ctx, "c", 0)
		var fault *api.Error
		if !errors.As(err, &fault) || fault.Code != api.CodeUnhealthy || !strings.HasPrefix(fault.Message, "GET http://10.209.3.7:8080/up: connection refused (") {
			t.Errorf("%v", err)
		}
	})
}

func TestWaitIsCancelled(t *testing.T) {
	supervise(t, checked(), failing(errors.New("no")), func(t *testing.T, _ *fakeEngine, s *Supervisor) {
		cause := errors.New("the lease was lost")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(second(3), func() { cancel(cause) })
		if err := s.Wait(ctx, "c", 0); !errors.Is(err, cause) {
			t.Errorf("%v, want the cause", err)
		}
	})
}
