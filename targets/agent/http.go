package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"dray/pipeline/event"
	"dray/targets/agent/access"
	"dray/targets/api"
)

// largestRequest bounds a request's body: a release with its secrets.
const largestRequest = 16 << 20

// Handler serves /dray/v1/. Whatever else is asked goes to rest, which may be
// nil.
func (a *Agent) Handler(rest http.Handler) http.Handler {
	mux := http.NewServeMux()
	a.register(mux)
	if rest != nil {
		mux.Handle("/", rest)
	}
	return mux
}

// registrar takes handlers: an http.ServeMux.
type registrar interface {
	HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request))
}

func (a *Agent) register(mux registrar) {
	a.routeHost(mux)
	a.routeLeases(mux)
	a.routeReading(mux)
	a.routeDeployments(mux)
}

// Patterns lists the routes that Handler serves, as patterns of http.ServeMux.
func Patterns() []string {
	var listed patterns
	(&Agent{}).register(&listed)
	return listed
}

type patterns []string

// HandleFunc implements registrar.
func (p *patterns) HandleFunc(pattern string, _ func(http.ResponseWriter, *http.Request)) {
	*p = append(*p, pattern)
}

func (a *Agent) routeHost(mux registrar) {
	mux.HandleFunc(api.RouteHost, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, a.hostAndReach(), nil)
	})
	mux.HandleFunc(api.RouteEvents, func(w http.ResponseWriter, r *http.Request) {
		a.serveEvents(w, r)
	})
}

func (a *Agent) serveEvents(w http.ResponseWriter, r *http.Request) {
	events, stop := a.events.watch()
	defer stop()
	w.Header().Set("Content-Type", api.ContentStream)
	flush := http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	for flush.Flush() == nil {
		batch := events.next(r.Context())
		if batch == nil {
			return
		}
		for _, line := range batch {
			if encoder.Encode(line.Event) != nil {
				return
			}
		}
	}
}

func (a *Agent) routeLeases(mux registrar) {
	mux.HandleFunc(api.RouteAcquire, called(a, func(e *environment, _ api.Actor, req api.AcquireLease) (any, error) {
		return a.acquire(e, req)
	}))
	mux.HandleFunc(api.RouteRenew, called(a, func(e *environment, _ api.Actor, req api.RenewLease) (any, error) {
		return a.renew(e, req)
	}))
	mux.HandleFunc(api.RouteRelease, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		fence, err := strconv.ParseUint(r.FormValue("fence"), 10, 64)
		if err != nil {
			err = api.Errorf(api.CodeBadRequest, "reading fence: %v", err)
		} else {
			err = a.releaseLease(e, fence)
		}
		answer(w, nil, err)
	}))
	mux.HandleFunc(api.RouteFreeze, called(a, func(e *environment, by api.Actor, req api.SetFreeze) (any, error) {
		return a.freeze(e, by, req)
	}))
	mux.HandleFunc(api.RouteUnfreeze, a.onEnvironment(func(w http.ResponseWriter, _ *http.Request, e *environment) {
		answer(w, nil, a.unfreeze(e))
	}))
	mux.HandleFunc(api.RouteApprove, called(a, func(e *environment, by api.Actor, req api.Approve) (any, error) {
		return a.approve(e, by, req)
	}))
}

func (a *Agent) routeReading(mux registrar) {
	mux.HandleFunc(api.RouteEnvironments, func(w http.ResponseWriter, r *http.Request) {
		list, err := a.environmentList(r.FormValue("project"))
		answer(w, list, err)
	})
	mux.HandleFunc(api.RouteEnvironment, a.onEnvironment(func(w http.ResponseWriter, _ *http.Request, e *environment) {
		env, err := a.observe(e)
		answer(w, env, err)
	}))
	mux.HandleFunc(api.RouteHistory, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		records, err := a.history(e, limit(r))
		answer(w, records, err)
	}))
	mux.HandleFunc(api.RouteReleases, a.onEnvironment(func(w http.ResponseWriter, _ *http.Request, e *environment) {
		list, err := a.releases(e)
		answer(w, list, err)
	}))
	mux.HandleFunc(api.RouteRevisions, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		list, err := a.revisions(e, r.PathValue("number"))
		answer(w, list, err)
	}))
	mux.HandleFunc(api.RouteEvidence, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		envelope, err := a.storedEvidence(e, r.PathValue("release"))
		answer(w, envelope, err)
	}))
	mux.HandleFunc(api.RouteTasks, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		list, err := a.taskStatuses(e, limit(r))
		answer(w, list, err)
	}))
	mux.HandleFunc(api.RouteTaskRuns, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		runs, err := a.taskRuns(e, r.PathValue("task"), limit(r))
		answer(w, runs, err)
	}))
	mux.HandleFunc(api.RouteTaskLogs, a.onEnvironment(a.serveTaskLogs))
	mux.HandleFunc(api.RoutePrune, func(w http.ResponseWriter, r *http.Request) {
		var req api.Prune
		_, err := decode(w, r, &req)
		var result api.PruneResult
		if err == nil {
			result, err = a.collectImages(r.Context(), Collection{DryRun: req.DryRun, Recent: true})
		}
		answer(w, result, err)
	})
}

// limit reads ?limit=N; 0 is all.
func limit(r *http.Request) int {
	n, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil {
		return 0
	}
	return max(n, 0)
}

func (a *Agent) routeDeployments(mux registrar) {
	mux.HandleFunc(api.RoutePrepare, streaming(a, func(ctx context.Context, r *http.Request, e *environment, req api.Prepare, sink event.Sink) (any, error) {
		if err := a.mayBring(r.Context(), e, &req); err != nil {
			return nil, err
		}
		return a.prepare(ctx, e, &req, sink)
	}))
	mux.HandleFunc(api.RouteSteps, streaming(a, func(ctx context.Context, r *http.Request, e *environment, req api.Steps, sink event.Sink) (any, error) {
		return a.steps(ctx, e, r.PathValue("deployment"), req, sink)
	}))
	mux.HandleFunc(api.RouteRevert, streaming(a, func(ctx context.Context, r *http.Request, e *environment, req api.Revert, sink event.Sink) (any, error) {
		return a.revert(ctx, e, r.PathValue("deployment"), req, sink)
	}))
	mux.HandleFunc(api.RouteHold, streaming(a, func(ctx context.Context, r *http.Request, e *environment, req api.Hold, _ event.Sink) (any, error) {
		return a.hold(ctx, e, r.PathValue("deployment"), req)
	}))
	mux.HandleFunc(api.RouteDown, streaming(a, func(ctx context.Context, _ *http.Request, e *environment, req api.Down, sink event.Sink) (any, error) {
		return a.down(ctx, e, req, sink)
	}))
	mux.HandleFunc(api.RouteRunTask, streaming(a, func(ctx context.Context, r *http.Request, e *environment, req api.RunTask, sink event.Sink) (any, error) {
		return a.runTask(ctx, e, r.PathValue("task"), req, sink)
	}))
	mux.HandleFunc(api.RouteRunService, streaming(a, func(ctx context.Context, r *http.Request, e *environment, req api.RunService, sink event.Sink) (any, error) {
		return a.runService(ctx, r.Context(), e, r.PathValue("service"), req, sink)
	}))
	mux.HandleFunc(api.RouteReleaseLogs, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		tail, _ := strconv.Atoi(r.FormValue("tail")) // what is not a number is all
		a.streamed(w, r, func(ctx context.Context, sink event.Sink) (any, error) {
			return a.releaseLogs(ctx, e, r.PathValue("release"), r.FormValue("service"), max(tail, 0), sink)
		})
	}))
	mux.HandleFunc(api.RouteAilment, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		fault, err := a.ailment(r.Context(), e, r.PathValue("deployment"), r.FormValue("instance"))
		answer(w, fault, err)
	}))
	mux.HandleFunc(api.RouteConfirm, a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		var req api.Confirm
		by, err := decode(w, r, &req)
		var record *api.Record
		if err == nil {
			record, err = a.confirm(r.Context(), e, r.PathValue("deployment"), by, req)
		}
		answer(w, record, err)
	}))
}

// streaming decodes a request and answers with a stream.
func streaming[T any](a *Agent, op func(ctx context.Context, r *http.Request, e *environment, req T, sink event.Sink) (any, error)) http.HandlerFunc {
	return a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		var req T
		if _, err := decode(w, r, &req); err != nil {
			answer(w, nil, err)
			return
		}
		a.streamed(w, r, func(ctx context.Context, sink event.Sink) (any, error) { return op(ctx, r, e, req, sink) })
	})
}

// onEnvironment finds the environment that the path names. It waits until the
// leases of before a restart are known: nobody may slip in between.
func (a *Agent) onEnvironment(serve func(http.ResponseWriter, *http.Request, *environment)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-a.ready:
		case <-r.Context().Done():
			return
		}
		e, err := a.environment(r.PathValue("project"), r.PathValue("environment"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		serve(w, r, e)
	}
}

// called decodes a request and answers with what do returns.
func called[T any](a *Agent, do func(e *environment, by api.Actor, req T) (any, error)) http.HandlerFunc {
	return a.onEnvironment(func(w http.ResponseWriter, r *http.Request, e *environment) {
		var req T
		by, err := decode(w, r, &req)
		if err != nil {
			answer(w, nil, err)
			return
		}
		value, err := do(e, by, req)
		answer(w, value, err)
	})
}

// decode reads a request's body and its actor, as whom the host sees it. Fields that this agent does not
// know are ignored: the client may be newer.
func decode(w http.ResponseWriter, r *http.Request, into any) (api.Actor, error) {
	by, err := api.ActorOf(r)
	if err != nil {
		return by, err
	}
	by.Identity, _ = access.Of(r.Context())
	body := http.MaxBytesReader(w, r.Body, largestRequest)
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return by, api.Errorf(api.CodeBadRequest, "reading the request: %v", err)
	}
	if stamped, ok := into.(api.Stamped); ok {
		stamped.SeenAs(by.Identity)
	}
	return by, nil
}

// answer writes a value as JSON, 204 for none, or a fault.
func answer(w http.ResponseWriter, value any, err error) {
	status := http.StatusOK
	if err != nil {
		fault := wireError(err)
		value, status = fault, api.Status(fault.Code)
	}
	if value == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that is gone needs no answer
}

// wireError returns err as callers see it. What is not an *api.Error is
// internal.
func wireError(err error) *api.Error {
	var fault *api.Error
	if errors.As(err, &fault) {
		return fault
	}
	return &api.Error{Code: api.CodeInternal, Message: err.Error()}
}
