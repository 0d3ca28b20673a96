package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dray/pipeline/event"
	"dray/targets/api"
)

// serve answers on a unix socket, as an agent does, and returns a client.
func serve(t *testing.T, h http.Handler) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: h}}
	server.Start()
	t.Cleanup(server.Close)
	c := api.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}, api.Actor{User: "mira", Machine: "büro", Command: "dray ship"})
	t.Cleanup(c.CloseIdle)
	return c
}

// TestEveryRoute calls every method and sees that the request arrives at its
// route, with its names, its body and its actor.
func TestEveryRoute(t *testing.T) {
	mux := http.NewServeMux()
	var mu sync.Mutex
	arrived := map[string]bool{}
	route := func(pattern, answer string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			actor, err := api.ActorOf(r)
			if err != nil || actor.Machine != "büro" {
				t.Errorf("%s: actor %+v %v", pattern, actor, err)
			}
			for name, want := range map[string]string{"project": "sh/op", "environment": "prod", "deployment": "d1", "task": "migrate", "release": "42"} {
				if got := r.PathValue(name); strings.Contains(pattern, "{"+name+"}") && got != want {
					t.Errorf("%s: %s is %q", pattern, name, got)
				}
			}
			if body, err := io.ReadAll(r.Body); err != nil || r.ContentLength > 0 && !json.Valid(body) {
				t.Errorf("%s: body %q %v", pattern, body, err)
			}
			mu.Lock()
			arrived[pattern] = true
			mu.Unlock()
			if answer == "" {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			_, _ = io.WriteString(w, answer)
		})
	}
	for _, pattern := range []string{api.RouteHost, api.RoutePrune, api.RouteEnvironment, api.RouteEvidence, api.RouteAcquire,
		api.RouteRenew, api.RouteFreeze, api.RouteApprove, api.RouteConfirm} {
		route(pattern, "{}")
	}
	route(api.RouteRevisions, `["sha256:aa"]`)
	for _, pattern := range []string{api.RouteEnvironments, api.RouteHistory, api.RouteReleases, api.RouteTasks, api.RouteTaskRuns} {
		route(pattern, "[{}]")
	}
	for _, pattern := range []string{api.RoutePrepare, api.RouteSteps, api.RouteRevert, api.RouteHold, api.RouteDown, api.RouteRunTask, api.RouteTaskLogs, api.RouteRunService} {
		route(pattern, `{"event":{"v":1,"type":"notice","text":"at it"}}`+"\n"+`{"result":{}}`+"\n")
	}
	for _, pattern := range []string{api.RouteRelease, api.RouteUnfreeze} {
		route(pattern, "")
	}
	c := serve(t, mux)
	ctx, e, events := t.Context(), c.Environment("sh/op", "prod"), 0
	sink := event.Func(func(event.Event) { events++ })
	calls := map[string]func() error{
		"Host":         func() error { _, err := c.Host(ctx); return err },
		"Environments": func() error { _, err := c.Environments(ctx, "sh/op"); return err },
		"Prune":        func() error { _, err := c.Prune(ctx, api.Prune{}); return err },
		"Get":          func() error { _, err := e.Get(ctx); return err },
		"History":      func() error { _, err := e.History(ctx, 5); return err },
		"Releases":     func() error { _, err := e.Releases(ctx); return err },
		"Revisions":    func() error { _, err := e.Revisions(ctx, 42); return err },
		"Evidence":     func() error { _, err := e.Evidence(ctx, api.ReleaseNumber{Number: 42}); return err },
		"AcquireLease": func() error { _, err := e.AcquireLease(ctx, api.AcquireLease{}); return err },
		"RenewLease":   func() error { _, err := e.RenewLease(ctx, api.RenewLease{}); return err },
		"ReleaseLease": func() error { return e.ReleaseLease(ctx, 7) },
		"Freeze":       func() error { _, err := e.Freeze(ctx, api.SetFreeze{}); return err },
		"Unfreeze":     func() error { return e.Unfreeze(ctx) },
		"Approve":      func() error { _, err := e.Approve(ctx, api.Approve{}); return err },
		"Prepare":      func() error { _, err := e.Prepare(ctx, api.Prepare{}, sink); return err },
		"Steps":        func() error { _, err := e.Steps(ctx, "d1", api.Steps{}, sink); return err },
		"Confirm":      func() error { _, err := e.Confirm(ctx, "d1", api.Confirm{}); return err },
		"Hold":         func() error { _, err := e.Hold(ctx, "d1", api.Hold{}); return err },
		"Revert":       func() error { _, err := e.Revert(ctx, "d1", api.Revert{}, sink); return err },
		"Down":         func() error { _, err := e.Down(ctx, api.Down{}, sink); return err },
		"Tasks":        func() error { _, err := e.Tasks(ctx, 3); return err },
		"RunTask":      func() error { _, err := e.RunTask(ctx, "migrate", api.RunTask{}, sink); return err },
		"TaskRuns":     func() error { _, err := e.TaskRuns(ctx, "migrate", 3); return err },
		"TaskLogs": func() error {
			_, err := e.TaskLogs(ctx, "migrate", "00000007", api.LogQuery{Tail: 3}, sink)
			return err
		},
		"RunService": func() error { _, err := e.RunService(ctx, "web", api.RunService{}, nil); return err },
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(arrived) != len(calls) {
		t.Errorf("%d calls arrived at %d routes: %v", len(calls), len(arrived), arrived)
	}
	if events != 6 {
		t.Errorf("%d events came", events)
	}
}

func TestErrors(t *testing.T) {
	for name, x := range map[string]struct {
		answer http.HandlerFunc
		code   string // of an *api.Error; "" is another error
		says   string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(api.Status(api.CodeLocked))
			_ = json.NewEncoder(w).Encode(&api.Error{Code: api.CodeLocked, Message: "held", Lease: &api.Lease{Fence: 3}})
		}, api.CodeLocked, "held"},
		"another server": {http.NotFound, api.CodeNotFound, "404"},
		"crashed": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "oops", 500)
		}, api.CodeInternal, "500"},
		"error at the end": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"event":{"v":1,"type":"notice"}}`+"\n"+`{"error":{"code":"unhealthy","message":"web/1 is not healthy"}}`)
		}, api.CodeUnhealthy, "not healthy"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"event":{"v":1,"type":"notice"}}`+"\n")
		}, "", api.ErrCut.Error()},
		"cut in a line": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"event":{"v":1,"ty`)
		}, "", api.ErrCut.Error()},
		"connection cut": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"event":{"v":1,"type":"notice"}}`+"\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "", api.ErrCut.Error()},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>")
		}, "", "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, x.answer)
			_, err := c.Environment("shop", "prod").Prepare(t.Context(), api.Prepare{}, nil)
			var fault *api.Error
			if errors.As(err, &fault) != (x.code != "") || fault != nil && fault.Code != x.code {
				t.Fatalf("Prepare: %v (%T)", err, err)
			}
			if !strings.Contains(fmt.Sprint(err), x.says) {
				t.Errorf("%v does not say %q", err, x.says)
			}
			if isCut := errors.Is(err, api.ErrCut); isCut != strings.HasPrefix(x.says, "the answer") {
				t.Errorf("cut: %v (%v)", isCut, err)
			}
		})
	}
}

func TestCancelledStream(t *testing.T) {
	begun := make(chan struct{})
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by hand")
	go func() { <-begun; cancel(stopped) }()
	if _, err := c.Environment("shop", "prod").Prepare(ctx, api.Prepare{}, nil); !errors.Is(err, stopped) || errors.Is(err, api.ErrCut) {
		t.Errorf("Prepare: %v", err)
	}
}

func FuzzActor(f *testing.F) {
	f.Add(`{"user":"mira","machine":"ci-7","command":"dray ship"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(api.ActorHeader, text)
		if _, err := api.ActorOf(r); err != nil {
			var fault *api.Error
			if !errors.As(err, &fault) || fault.Code != api.CodeBadRequest {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestLogQuery carries a query to the other side and back.
func TestLogQuery(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 5, time.UTC)
	for _, q := range []api.LogQuery{{}, {Tail: 5}, {Tail: -1}, {Since: at, Follow: true}, {Until: at, Tail: 1}} {
		r := httptest.NewRequest(http.MethodGet, "/?"+q.Values().Encode(), nil)
		if got, err := api.LogQueryOf(r); err != nil || got != q {
			t.Errorf("%+v became %+v, %v", q, got, err)
		}
	}
	for _, bad := range []string{"tail=many", "since=yesterday", "until=1"} {
		var fault *api.Error
		if _, err := api.LogQueryOf(httptest.NewRequest(http.MethodGet, "/?"+bad, nil)); !errors.As(err, &fault) || fault.Code != api.CodeBadRequest {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
