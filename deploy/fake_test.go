package deploy

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/api/apitest"
)

// fakeHost answers as an agent does whose containers do what a test says. That
// the real one does so is tried with real hosts (testenv); here steps must fail
// and take their time on cue.
type fakeHost struct {
	name string
	// step is what comes of a step on an instance; nil: all goes well at once.
	step   func(ctx context.Context, action, instance string) *api.Error
	ill    *api.Error // what is wrong with its instances, whose containers start; nil: they don't
	vote   *api.Error // the answer to a vote or a confirmation
	down   *api.Error // the answer to its removal
	cut    bool       // nothing is heard of it any more once it was prepared
	before api.Environment
	keeps  []string // instances that serve already as the release has them

	mu    sync.Mutex
	calls []string
	why   []string // reasons that came with hold and revert
}

// did lists the calls that ended, or should have ended, the deployment.
func (h *fakeHost) did() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

func (h *fakeHost) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(api.RouteAcquire, answering(func(context.Context, api.AcquireLease, event.Sink) (any, *api.Error) { return api.Lease{Fence: 1}, nil }))
	mux.HandleFunc(api.RouteRenew, answering(func(context.Context, api.RenewLease, event.Sink) (any, *api.Error) { return api.Lease{Fence: 1}, nil }))
	mux.HandleFunc(api.RouteRelease, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc(api.RouteEnvironment, func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		_ = json.NewEncoder(w).Encode(h.before)
	})
	mux.HandleFunc(api.RoutePrepare, streaming(func(_ context.Context, p api.Prepare, _ event.Sink) (any, *api.Error) {
		result := api.PrepareResult{}
		for _, i := range p.Release.Placement[h.name] {
			result.Instances = append(result.Instances, api.InstanceStatus{Instance: i, Serving: slices.Contains(h.keeps, i)})
		}
		return result, nil
	}))
	mux.HandleFunc(api.RouteSteps, streaming(h.steps))
	mux.HandleFunc(api.RouteConfirm, answering(func(context.Context, api.Confirm, event.Sink) (any, *api.Error) { return api.Record{}, h.vote }))
	mux.HandleFunc(api.RouteAilment, func(w http.ResponseWriter, r *http.Request) {
		if h.ill == nil {
			http.NotFound(w, r) // as an older agent does
			return
		}
		fault := *h.ill
		fault.Instance = r.FormValue("instance")
		_ = json.NewEncoder(w).Encode(fault)
	})
	mux.HandleFunc(api.RouteHold, streaming(func(_ context.Context, r api.Hold, _ event.Sink) (any, *api.Error) {
		return h.end("hold", r.Reason, api.Environment{Instances: []api.InstanceStatus{{Instance: "web/1", ReleaseRef: api.ReleaseRef{Release: 2}, Serving: true}}})
	}))
	mux.HandleFunc(api.RouteRevert, streaming(func(_ context.Context, r api.Revert, _ event.Sink) (any, *api.Error) {
		return h.end("revert", r.Reason, api.StepsResult{})
	}))
	mux.HandleFunc(api.RouteDown, streaming(func(context.Context, api.Down, event.Sink) (any, *api.Error) { return api.DownResult{}, h.down }))
	mux.HandleFunc(api.RouteRunTask, streaming(func(context.Context, api.RunTask, event.Sink) (any, *api.Error) {
		return api.TaskRun{ExitCode: 1}, nil
	}))
	return mux
}

func (h *fakeHost) end(call, why string, result any) (any, *api.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls, h.why = append(h.calls, call), append(h.why, why)
	if h.cut {
		return nil, api.Errorf(api.CodeInternal, "%s is cut off", h.name)
	}
	h.before.Deployment = nil
	return result, nil
}

func (h *fakeHost) steps(ctx context.Context, r api.Steps, sink event.Sink) (any, *api.Error) {
	for _, s := range r.Steps {
		for _, instance := range s.Instances {
			if h.ill != nil && s.Action == api.ActionStart {
				sink.Emit(event.Event{Type: event.InstanceState, Instance: instance, State: event.Starting})
			}
			if h.step != nil {
				if err := h.step(ctx, s.Action, instance); err != nil {
					return nil, err
				}
			}
			if s.Action == api.ActionStart {
				sink.Emit(event.Event{Type: event.InstanceState, Instance: instance, State: event.Healthy})
			}
		}
	}
	return api.StepsResult{}, nil
}

// answering is a call with one value as its answer, streaming one with events
// before it.
func answering[T any](do func(context.Context, T, event.Sink) (any, *api.Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request T
		_ = json.NewDecoder(r.Body).Decode(&request)
		value, err := do(r.Context(), request, event.Discard)
		if err != nil {
			w.WriteHeader(api.Status(err.Code))
			value = err
		}
		_ = json.NewEncoder(w).Encode(value)
	}
}

func streaming[T any](do func(context.Context, T, event.Sink) (any, *api.Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request T
		_ = json.NewDecoder(r.Body).Decode(&request)
		out := json.NewEncoder(w)
		value, err := do(r.Context(), request, event.Func(func(e event.Event) {
			_ = out.Encode(api.StreamLine{Event: &e})
			_ = http.NewResponseController(w).Flush()
		}))
		line := api.StreamLine{Error: err}
		if err == nil {
			line.Result, _ = json.Marshal(value)
		}
		_ = out.Encode(line)
	}
}

// fleetOf connects to fake hosts without a network, so that a bubble's time
// goes on while all wait.
func fleetOf(t *testing.T, sink event.Sink, hosts ...*fakeHost) *Fleet {
	t.Helper()
	f := &Fleet{Project: "shop", Environment: "prod", parallel: DefaultParallel, lease: DefaultLease, sink: sink}
	for _, h := range hosts {
		listener := apitest.Listen()
		server := &http.Server{Handler: h.handler()}
		go func() { _ = server.Serve(listener) }()
		client := api.NewClient(listener.Dial, api.Actor{User: "mira"})
		t.Cleanup(func() { client.CloseIdle(); _ = server.Close() })
		f.hosts = append(f.hosts, &Host{Name: h.name, Client: client})
	}
	return f
}

// shop is the second release of services web and db on p1 and p2, over a first
// one that runs there.
func shop(change func(web, db *pipeline.Service)) Request {
	update := pipeline.Update{
		Strategy: pipeline.StrategyRolling, MaxParallel: 1, AutoRevert: true,
		ProgressDeadline: pipeline.Duration(10 * time.Minute), ProgressAt: pipeline.Pos{File: "dray.hcl", Line: 30},
	}
	services := []pipeline.Service{{Name: "db", Update: update}, {Name: "web", Update: update}}
	if change != nil {
		change(&services[1], &services[0])
	}
	return Request{
		Sources: func(*Host, pipeline.ReleaseImage) []pipeline.ImageSource { return nil },
		Deployment: pipeline.Deployment{Kind: pipeline.KindDeploy, Release: pipeline.Release{
			Number: 2, Services: services,
			Placement: map[string][]string{"p1": {"db/1", "web/1"}, "p2": {"web/2"}},
		}},
	}
}

// first is what a host says that runs the first release.
func first() api.Environment {
	return api.Environment{Current: &api.Release{Number: 1}}
}

// wait takes time, unless the caller goes away.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
