package deploy

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// never says auto_revert = false for a service.
func never(s *pipeline.Service) {
	s.Update.AutoRevert, s.Update.RevertAt = false, pipeline.Pos{File: "dray.hcl", Line: 31}
}

// unwell fails the start of one instance.
func unwell(instance string) func(context.Context, string, string) *api.Error {
	return func(_ context.Context, action, name string) *api.Error {
		if action != api.ActionStart || name != instance {
			return nil
		}
		service, _, _ := strings.Cut(name, "/")
		return &api.Error{Code: api.CodeUnhealthy, Service: service, Instance: name, Message: name + " is not well"}
	}
}

// TestWhoStays: a release that failed is held where all that answer for it say
// auto_revert = false, and goes back otherwise.
func TestWhoStays(t *testing.T) {
	both := func(web, db *pipeline.Service) { never(web); never(db) }
	onlyWeb := func(web, _ *pipeline.Service) { never(web) }
	failedCheck := func(r *Request) {
		r.Verify = func(context.Context, pipeline.Release) ([]api.VerifyResult, error) {
			return nil, errors.New("GET /: 500")
		}
	}
	tests := []struct {
		name   string
		change func(web, db *pipeline.Service)
		step   func(context.Context, string, string) *api.Error
		more   func(*Request)
		want   string
	}{
		{"auto_revert is the default", nil, unwell("web/1"), nil, "revert"},
		{"the service that failed says no", onlyWeb, unwell("web/1"), nil, "hold"},
		{"another one says no", onlyWeb, unwell("db/1"), nil, "revert"},
		{"verify, and all say no", both, nil, failedCheck, "hold"},
		{"verify, and one says yes", onlyWeb, nil, failedCheck, "revert"},
		{"a task, and all say no", both, nil, func(r *Request) {
			r.Release.Tasks = []pipeline.Task{{Name: "warm", Hook: pipeline.HookPostDeploy}}
		}, "hold"},
		{"a host that can't do its part", both, func(context.Context, string, string) *api.Error {
			return api.Errorf(api.CodeInternal, "input/output error")
		}, nil, "revert"},
		{"nobody lets the canary go on", func(web, db *pipeline.Service) {
			both(web, db)
			web.Update.Strategy, web.Update.Canary = pipeline.StrategyCanary, 1
		}, nil, func(r *Request) {
			r.Continue = func(context.Context, string) error { return errors.New("nobody said to go on") }
		}, "revert"},
		{"a task before anything has changed", both, nil, func(r *Request) {
			r.Release.Tasks = []pipeline.Task{{Name: "migrate", Hook: pipeline.HookPreDeploy}}
		}, "revert"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p1 := &fakeHost{name: "p1", before: first(), step: test.step}
				p2 := &fakeHost{name: "p2", before: first()}
				request := shop(test.change)
				if test.more != nil {
					test.more(&request)
				}
				_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), request)
				var failed *Error
				if !errors.As(err, &failed) {
					t.Fatalf("deploying: %v", err)
				}
				for _, h := range []*fakeHost{p1, p2} {
					if got := h.did(); !slices.Equal(got, []string{test.want}) {
						t.Errorf("%s was told to %v, want %s; %v", h.name, got, test.want, err)
					}
				}
				if (failed.Outcome == Paused) != (test.want == "hold") {
					t.Errorf("outcome %d", failed.Outcome)
				}
			})
		})
	}
}

// TestUnattendedCanary: what would wait for a yes that nobody can give is
// refused before a task or a container has started, and nothing else is.
func TestUnattendedCanary(t *testing.T) {
	manual := func(web, _ *pipeline.Service) {
		web.Update.Strategy, web.Update.Canary, web.Update.At = pipeline.StrategyCanary, 1, pipeline.Pos{File: "dray.hcl", Line: 29}
	}
	tests := []struct {
		name   string
		change func(web, db *pipeline.Service)
		keeps  []string
		goOn   func(context.Context, string) error
		want   string
	}{
		{"nobody to ask", manual, nil, nil, "the canary of web goes on only with a yes (dray.hcl:29), and there is nobody to ask"},
		{"somebody to ask", manual, nil, func(context.Context, string) error { return nil }, ""},
		{"it goes on by itself", func(web, db *pipeline.Service) { manual(web, db); web.Update.AutoPromote = true }, nil, nil, ""},
		{"no instance follows the canary", func(web, db *pipeline.Service) { manual(web, db); web.Update.Canary = 2 }, nil, nil, ""},
		{"the service stays as it is", manual, []string{"web/1", "web/2"}, nil, ""},
		{"no canary", nil, nil, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := 0
				step := func(context.Context, string, string) *api.Error { started++; return nil }
				p1 := &fakeHost{name: "p1", before: first(), step: step, keeps: test.keeps}
				p2 := &fakeHost{name: "p2", before: first(), keeps: test.keeps}
				request := shop(test.change)
				request.Continue = test.goOn
				if test.want != "" {
					request.Release.Tasks = []pipeline.Task{{Name: "migrate", Hook: pipeline.HookPreDeploy}} // would fail
				}
				_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), request)
				if test.want == "" {
					if err != nil {
						t.Errorf("deploying: %v", err)
					}
					return
				}
				var failed *Error
				if !errors.As(err, &failed) || failed.Outcome != Refused || err.Error() != test.want || started > 0 || !slices.Equal(p1.did(), []string{"revert"}) {
					t.Errorf("deploying: %v; %d steps were taken, and then %v", err, started, p1.did())
				}
			})
		})
	}
}

// TestUnagreedIsHeld: an instance that is not well any more when its host is to
// agree counts as the others do.
func TestUnagreedIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p1 := &fakeHost{name: "p1", before: first()}
		p2 := &fakeHost{name: "p2", before: first(), vote: &api.Error{Code: api.CodeUnhealthy, Service: "web", Message: "web/2 is not well"}}
		_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), shop(func(web, _ *pipeline.Service) { never(web) }))
		var failed *Error
		if !errors.As(err, &failed) || failed.Outcome != Paused {
			t.Errorf("deploying: %v", err)
		}
	})
}

// TestInterruptedNeverStays: neither in the middle of a step nor of a
// verification, which fails then as others do.
func TestInterruptedNeverStays(t *testing.T) {
	stopped := errors.New("interrupted")
	for _, at := range []string{"a step", "verify"} {
		synctest.Test(t, func(t *testing.T) {
			ctx, interrupt := context.WithCancelCause(t.Context())
			p1 := &fakeHost{name: "p1", before: first(), step: func(ctx context.Context, _, _ string) *api.Error {
				if at == "a step" {
					interrupt(stopped)
					wait(ctx, time.Hour)
				}
				return nil
			}}
			request := shop(func(web, db *pipeline.Service) { never(web); never(db) })
			request.Verify = func(ctx context.Context, _ pipeline.Release) ([]api.VerifyResult, error) {
				interrupt(stopped)
				return nil, context.Cause(ctx)
			}
			_, err := fleetOf(t, event.Discard, p1).Deploy(ctx, request)
			var failed *Error
			if !errors.As(err, &failed) || failed.Outcome != Reverted || !errors.Is(err, stopped) || !slices.Equal(p1.did(), []string{"revert"}) {
				t.Errorf("interrupted in %s: %v, %v", at, err, p1.did())
			}
		})
	}
}

// TestHeldSaysWhatIs: where, why by the file, what serves, and who could not be
// told.
func TestHeldSaysWhatIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p1 := &fakeHost{name: "p1", before: first(), step: unwell("web/1")}
		p2 := &fakeHost{name: "p2", before: first(), cut: true}
		_, err := fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), shop(func(web, _ *pipeline.Service) { never(web) }))
		var failed *Error
		if !errors.As(err, &failed) || failed.Outcome != Paused {
			t.Fatalf("deploying: %v", err)
		}
		want := &PauseState{
			Hosts: []string{"p1"}, At: pipeline.Pos{File: "dray.hcl", Line: 31},
			Serves: []Serving{{Service: "db"}, {Service: "web", Release: pipeline.ReleaseNumber{Number: 2}, Count: 1}},
		}
		if !reflect.DeepEqual(failed.Pause, want) || !slices.Equal(failed.Stuck, []string{"p2"}) {
			t.Errorf("it stands at %+v without %v, want %+v without p2", failed.Pause, failed.Stuck, want)
		}
		if why := p1.why[0]; !strings.Contains(why, "web/1 is not well") {
			t.Errorf("the host was told %q", why)
		}

		p1.step, p1.cut = unwell("web/1"), true
		_, err = fleetOf(t, event.Discard, p1, p2).Deploy(t.Context(), shop(func(web, _ *pipeline.Service) { never(web) }))
		if !errors.As(err, &failed) || failed.Outcome != NotReverted || len(failed.Stuck) != 2 {
			t.Errorf("no host could be told: %v", err)
		}
	})
}

// holding is a host that holds the second release.
func holding(name string) *fakeHost {
	h := &fakeHost{name: name, before: first()}
	h.before.Deployment = &api.Deployment{ID: "d2", Kind: pipeline.KindDeploy, ReleaseRef: api.ReleaseRef{Release: 2}, FromRef: api.FromRef{From: 1}, Held: &api.Held{Reason: "web/1 is not well"}}
	return h
}

func TestTheNextDeploymentGoesBackFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		p1 := holding("p1")
		sink := event.Func(func(e event.Event) {
			if e.Type == event.Notice {
				said = append(said, e.Text)
			}
		})
		if _, err := fleetOf(t, sink, p1).Deploy(t.Context(), shop(nil)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p1.did(), []string{"revert"}) || p1.why[0] != "it failed and was held: web/1 is not well" {
			t.Errorf("the host was told to %v: %q", p1.did(), p1.why)
		}
		if want := []string{"release 2 failed and was held; going back to release 1"}; !slices.Equal(said, want) {
			t.Errorf("it says %q, want %q", said, want)
		}
	})
}

func TestTakeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p1, p2 := holding("p1"), &fakeHost{name: "p2", before: first()}
		f := fleetOf(t, event.Discard, p1, p2)
		if err := f.Abort(t.Context(), pipeline.Actor{}, 0, pipeline.ReleaseNumber{Number: 1}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p1.did(), []string{"revert"}) || len(p2.did()) > 0 {
			t.Errorf("p1 was told to %v, p2 to %v", p1.did(), p2.did())
		}
		var failed *Error
		if err := f.Abort(t.Context(), pipeline.Actor{}, 0, pipeline.ReleaseNumber{Number: 7}); !errors.As(err, &failed) || failed.Outcome != Refused {
			t.Errorf("another release runs by now: %v", err)
		}
	})
}

// TestRecoverAsksForWhatIsHeld: what is held is taken back only with a yes to
// that very deployment.
func TestRecoverAsksForWhatIsHeld(t *testing.T) {
	for _, yes := range []string{"", "d1", "d2"} {
		synctest.Test(t, func(t *testing.T) {
			p1 := &fakeHost{name: "p1", before: first()}
			p1.before.Deployment = &api.Deployment{ID: "d2", ReleaseRef: api.ReleaseRef{Release: 2}, Held: &api.Held{Reason: "web/1 is not well"}}
			r, err := fleetOf(t, event.Discard, p1).Recover(t.Context(), pipeline.Actor{}, 0, func(id string) bool { return id == yes })
			if yes == "d2" {
				if err != nil || r.Finished != 1 || !slices.Equal(p1.did(), []string{"revert"}) {
					t.Errorf("with a yes: %+v, %v, %v", r, err, p1.did())
				}
				return
			}
			var failed *Error
			if !errors.As(err, &failed) || failed.Outcome != Refused || len(p1.did()) > 0 {
				t.Errorf("with a yes to %q: %v, %v", yes, err, p1.did())
			}
		})
	}
}
