package deploy

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// takes lets an action on an instance take its time.
func takes(action, instance string, d time.Duration) func(context.Context, string, string) *api.Error {
	return func(ctx context.Context, a, i string) *api.Error {
		if a == action && (instance == "" || i == instance) {
			wait(ctx, d)
		}
		return nil
	}
}

// TestProgressDeadline: the clock of a rollout counts all that keeps instances
// from being healthy, from one to the next, and nothing else.
func TestProgressDeadline(t *testing.T) {
	recreate := func(web, _ *pipeline.Service) { web.Update.Strategy = pipeline.StrategyRecreate }
	minute := func(web, _ *pipeline.Service) {
		web.Update.ProgressDeadline, web.Update.ProgressAt = pipeline.Duration(time.Minute), pipeline.Pos{}
	}
	tests := []struct {
		name   string
		change func(web, db *pipeline.Service)
		step   func(context.Context, string, string) *api.Error
		more   func(*Request)
		after  time.Duration // when it fails; 0: it does not
		want   string
	}{
		{
			"an old container does not stop", recreate, takes(api.ActionStop, "web/2", time.Hour), nil, 10 * time.Minute,
			"no further instance became healthy within 10m (progress_deadline, dray.hcl:30): waited for web/2 on p2 (not started)",
		},
		{
			// The second begins when the first is healthy: the clock begins anew.
			"late in the rollout", nil, func(ctx context.Context, a, i string) *api.Error {
				_ = takes(api.ActionStart, "web/1", 9*time.Minute)(ctx, a, i)
				return takes(api.ActionStart, "web/2", time.Hour)(ctx, a, i)
			}, nil, 19 * time.Minute,
			"no further instance became healthy within 10m (progress_deadline, dray.hcl:30): waited for web/2 on p2 (not started)",
		},
		{"each in time", nil, takes(api.ActionStart, "", 9*time.Minute), nil, 0, ""},
		{"the longest deadline holds where several go on", minute, takes(api.ActionStart, "web/1", 9*time.Minute), nil, 0, ""},
		{
			"and not where they don't", minute, takes(api.ActionStart, "web/2", time.Hour), nil, time.Minute,
			"no further instance became healthy within 1m (progress_deadline): waited for web/2 on p2 (not started)",
		},
		{
			"healthy, and its host does not get on", nil, takes(api.ActionSwitch, "web/2", time.Hour), nil, 10 * time.Minute,
			"no further instance became healthy within 10m (progress_deadline, dray.hcl:30): waited for web/2 on p2 (healthy)",
		},
		{"connections take long to end", nil, takes(api.ActionRetire, "", time.Hour), nil, 0, ""},
		{"a person takes long to answer", func(web, _ *pipeline.Service) {
			web.Update.Strategy, web.Update.Canary = pipeline.StrategyCanary, 1
		}, takes(api.ActionStart, "", 6*time.Minute), func(r *Request) {
			r.Continue = func(ctx context.Context, _ string) error { wait(ctx, time.Hour); return context.Cause(ctx) }
		}, 0, ""},
		{"verify has a time of its own", nil, nil, func(r *Request) {
			r.Verify = func(ctx context.Context, _ pipeline.Release) ([]api.VerifyResult, error) {
				wait(ctx, time.Hour)
				return nil, context.Cause(ctx)
			}
		}, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p1 := &fakeHost{name: "p1", before: first(), step: test.step}
				p2 := &fakeHost{name: "p2", before: first(), step: test.step}
				request := shop(test.change)
				if test.more != nil {
					test.more(&request)
				}
				began := time.Now()
				_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), request)
				if test.after == 0 {
					if err != nil {
						t.Fatalf("deploying: %v", err)
					}
					return
				}
				var failed *Error
				if !errors.As(err, &failed) || failed.Outcome != Reverted || err.Error() != test.want {
					t.Errorf("deploying: %v\nwant %s, reverted", err, test.want)
				}
				if took := time.Since(began); took < test.after || took > test.after+time.Second {
					t.Errorf("it took %s, want %s", took, test.after)
				}
			})
		})
	}
}

// TestStalledIsHeld: a rollout that comes to a stand is a failure as others are.
func TestStalledIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p1 := &fakeHost{name: "p1", before: first(), step: takes(api.ActionStart, "web/1", time.Hour)}
		_, err := fleetOf(t, event.Discard, p1).Deploy(t.Context(), shop(func(web, db *pipeline.Service) { never(web); never(db) }))
		var failed *Error
		if !errors.As(err, &failed) || failed.Outcome != Paused || !slices.Equal(p1.did(), []string{"hold"}) {
			t.Errorf("deploying: %v, %v", err, p1.did())
		}
	})
}

// TestStalledTellsWhatFailedBefore: a host that failed while another one was
// waited for is part of the reason.
func TestStalledTellsWhatFailedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p1 := &fakeHost{name: "p1", before: first(), step: unwell("web/1")}
		p2 := &fakeHost{name: "p2", before: first(), step: takes(api.ActionStart, "web/2", time.Hour)}
		_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), shop(func(web, _ *pipeline.Service) { web.Update.MaxParallel = 2 }))
		want := "no further instance became healthy within 10m (progress_deadline, dray.hcl:30): waited for web/2 on p2 (not started)\np1: web/1 is not well"
		if err == nil || err.Error() != want {
			t.Errorf("deploying: %v\nwant %s", err, want)
		}
	})
}

// TestStalledTellsWhatIsWrong: the failure carries what the first container that
// was started and waited for says of itself, and the place of its port.
func TestStalledTellsWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hour := takes(api.ActionStart, "", time.Hour)
		p1 := &fakeHost{name: "p1", before: first(), step: hour}
		p2 := &fakeHost{name: "p2", before: first(), step: hour, ill: &api.Error{
			Code: api.CodeUnhealthy, Service: "web", Port: "http", Message: "connection refused", Detail: "it listens on :81", Logs: []string{"listening"},
		}}
		at := pipeline.Pos{File: "dray.hcl", Line: 12}
		_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), shop(func(web, _ *pipeline.Service) {
			web.Update.MaxParallel = 2
			web.Ports = []pipeline.Port{{Name: "http", At: at}}
		}))
		var failed *Error
		var stalled *StalledError
		if !errors.As(err, &failed) || !errors.As(err, &stalled) || stalled.Ailment == nil {
			t.Fatalf("deploying: %v", err)
		}
		if failed.Outcome != Reverted || !slices.Equal(failed.Logs, p2.ill.Logs) || stalled.Ailment.Instance != "web/2" || failed.DeclaredAt != at {
			t.Errorf("%+v, %+v", failed, stalled.Ailment)
		}
	})
}
