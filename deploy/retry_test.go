package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// agentOf is one host whose agent is the handler.
func agentOf(t *testing.T, agent http.Handler) (*Fleet, *atomic.Int32) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: agent}}
	server.Start()
	t.Cleanup(server.Close)
	client := api.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}, api.Actor{User: "mira"})
	t.Cleanup(client.CloseIdle)
	notices := new(atomic.Int32)
	sink := event.Func(func(e event.Event) {
		if e.Type == event.Notice {
			notices.Add(1)
		}
	})
	h := &Host{Name: "p1", Client: client, Done: make(chan struct{})}
	return &Fleet{Project: "shop", Environment: "prod", hosts: []*Host{h}, parallel: 1, sink: sink}, notices
}

// dying answers nothing the first times, as an agent does that was killed.
func dying(times int32, then http.HandlerFunc) http.Handler {
	var asked atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= times {
			panic(http.ErrAbortHandler)
		}
		then(w, r)
	})
}

func TestRetryUntilTheAgentIsBack(t *testing.T) {
	f, notices := agentOf(t, dying(3, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"event":{"v":1,"type":"instance"}}` + "\n" + `{"result":{"instances":[{"instance":"web/1"}]}}` + "\n"))
	}))
	h := f.Hosts()[0]
	var got *api.StepsResult
	err := f.retry(t.Context(), h, func(ctx context.Context) (err error) {
		got, err = f.on(h).Steps(ctx, "d1", api.Steps{}, nil)
		return err
	})
	if err != nil || len(got.Instances) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if notices.Load() != 1 {
		t.Errorf("it was told %d times, want once", notices.Load())
	}
}

func TestNoRetryOnARefusal(t *testing.T) {
	var asked atomic.Int32
	f, _ := agentOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"code":"conflict","message":"no"}`))
	}))
	h := f.Hosts()[0]
	err := f.retry(t.Context(), h, func(ctx context.Context) error {
		_, err := f.on(h).Steps(ctx, "d1", api.Steps{}, nil)
		return err
	})
	if !isCode(err, api.CodeConflict) || asked.Load() != 1 {
		t.Errorf("%v after %d calls", err, asked.Load())
	}
}

func TestNoRetryOnALostConnection(t *testing.T) {
	f, _ := agentOf(t, dying(1<<30, nil))
	h, done := f.Hosts()[0], make(chan struct{})
	h.Done = done
	close(done)
	err := f.retry(t.Context(), h, func(ctx context.Context) error {
		_, err := f.on(h).Get(ctx)
		return err
	})
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

// TestRunTaskAcrossAgents: the agent is replaced in the middle of a task. Each
// line of its output comes once, and the run stays one.
func TestRunTaskAcrossAgents(t *testing.T) {
	output := []string{"one", "two", "three", "four"}
	var asked []api.RunTask
	f, notices := agentOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req api.RunTask
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		asked = append(asked, req)
		now := min(req.Seen+2, len(output))
		for _, text := range output[req.Seen:now] {
			_ = json.NewEncoder(w).Encode(api.StreamLine{Event: &event.Event{Version: event.Version, Type: event.Output, Text: text}})
		}
		if now == len(output) {
			_, _ = w.Write([]byte(`{"result":{"id":"1","exit_code":3}}` + "\n"))
		}
	}))
	h := f.Hosts()[0]
	var printed []string
	run, err := RunTask(t.Context(), h, f.on(h), "migrate", api.RunTask{Key: "k"}, event.Func(func(e event.Event) {
		if e.Type == event.Output {
			printed = append(printed, e.Text)
		}
		f.sink.Emit(e)
	}))
	if err != nil || run.ExitCode != 3 || !slices.Equal(printed, output) {
		t.Errorf("the run: %+v, %v, printed %q", run, err, printed)
	}
	if len(asked) != 2 || asked[1].Key != "k" || asked[1].Seen != 2 || notices.Load() != 1 {
		t.Errorf("it asked %+v and told %d times, want two calls with one key, and one word", asked, notices.Load())
	}
}

// TestAHostThatGoesBackByItself is reverted, not stuck: its agent refuses the
// holder whose lease has ended, and goes back.
func TestAHostThatGoesBackByItself(t *testing.T) {
	for _, c := range []struct{ name, last, want string }{
		{"it went back", `{"name":"prod"}`, ""},
		{"somebody else deploys", `{"name":"prod","deployment":{"id":"d2","state":"preparing"}}`, ""},
		{"it was confirmed", `{"name":"prod","deployed":"d1"}`, "has been confirmed"},
		{"it waits for a word", `{"name":"prod","deployment":{"id":"d1","state":"committed","voted":true}}`, "waits to be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var looked atomic.Int32
			f, _ := agentOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.WriteHeader(http.StatusPreconditionFailed)
					_, _ = w.Write([]byte(`{"code":"fenced","message":"the lease has ended"}`))
					return
				}
				if looked.Add(1) == 1 {
					_, _ = w.Write([]byte(`{"name":"prod","deployment":{"id":"d1","state":"reverting"}}`))
					return
				}
				_, _ = w.Write([]byte(c.last))
			}))
			d := &deployment{Fleet: f, Request: Request{Deployment: pipeline.Deployment{Release: pipeline.Release{Number: 7}}}, id: "d1", lease: &lease{fleet: f, fences: map[string]uint64{"p1": 3}}}
			err := d.revertHosts(t.Context(), errors.New("a fault"))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}
