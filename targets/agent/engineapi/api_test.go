package engineapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"

	"dray/targets/runtime"
)

func TestVersions(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		method, path string
		status       int
		part         string
	}{
		{"GET", "/_ping", 200, "OK"},
		{"HEAD", "/_ping", 200, ""},
		{"GET", "/v1.24/_ping", 200, "OK"},
		{"GET", "/v1.47/containers/json", 200, "[]"},
		{"GET", "/containers/json", 200, "[]"},
		{"GET", "/v1.99/containers/json", 400, "client version 1.99 is too new. Maximum supported API version is 1.51"},
		{"GET", "/v1.12/containers/json", 400, "client version 1.12 is too old"},
		{"GET", "/v1.47/nothing", 404, `{"message":"page not found"}`},
		{"GET", "/v1.47/containers/none/json", 404, `{"message":"No such container: none"}`},
		{"POST", "/v1.47/containers/none/exec", 404, "No such container: none"},
		{"GET", "/v1.47/exec/none/json", 404, "No such exec instance: none"},
		{"GET", "/v1.47/images/none/json", 404, "No such image: none"},
		{"GET", "/v1.47/networks/none", 404, "network none not found"},
		{"GET", "/v1.47/volumes/none", 404, "no such volume"},
		{"GET", "/v1.47/containers/none/logs", 404, "No such container"},
		{"GET", "/v1.47/containers/x/archive?path=/", 501, "dray does not do this: GET /containers/x/archive"},
		{"DELETE", "/v1.47/images/busybox", 501, "dray does not do this"},
		{"GET", "/v1.47/services", 501, "dray does not do this"},
		{"POST", "/v1.47/build", 501, "use dray build"},
		{"GET", `/v1.47/containers/json?filters={"colour":["red"]}`, 400, "invalid filter 'colour'"},
		{"GET", `/v1.47/containers/json?filters=x`, 400, "invalid filter"},
		{"GET", `/v1.47/containers/json?limit=x`, 400, "is not a number"},
		{"POST", "/v1.47/containers/create", 404, "No such image: "},
		{"GET", "/v1.47/events?since=x", 400, "is not a time"},
	}
	for _, tt := range tests {
		status, body := w.call(tt.method, tt.path, "{}")
		if status != tt.status || !strings.Contains(body, tt.part) {
			t.Errorf("%s %s: %d %s; want %d %q", tt.method, tt.path, status, strings.TrimSpace(body), tt.status, tt.part)
		}
	}
	answer, err := w.client.Head("http://host/_ping")
	must(t, err)
	answer.Body.Close()
	if answer.Header.Get("Api-Version") != "1.51" || answer.Header.Get("Ostype") != "linux" {
		t.Errorf("ping's head: %v", answer.Header)
	}
}

// TestLogFrames: the streams can be told apart, and asked for alone.
func TestLogFrames(t *testing.T) {
	w := newWorld(t)
	c := w.run("web", "echo one; echo two >&2; printf open")
	_, err := w.engine.Wait(t.Context(), c.ID, "", nil)
	must(t, err)
	for query, want := range map[string][2]string{
		"stdout=1&stderr=1":           {"one\nopen", "two\n"},
		"stdout=1":                    {"one\nopen", ""},
		"stderr=1":                    {"", "two\n"},
		"stdout=1&stderr=1&follow=1":  {"one\nopen", "two\n"},
		"stdout=1&since=4000000000":   {"", ""},
		"stdout=1&until=1000000000.5": {"", ""},
	} {
		status, body := w.call("GET", "/containers/web/logs?"+query, "")
		var out, errs strings.Builder
		_, err := stdcopy.StdCopy(&out, &errs, strings.NewReader(body))
		if status != 200 || err != nil || out.String() != want[0] || errs.String() != want[1] {
			t.Errorf("%s: %d %q %q, %v; want %q", query, status, out.String(), errs.String(), err, want)
		}
	}
	if status, body := w.call("GET", "/containers/web/logs", ""); status != 400 || !strings.Contains(body, "at least one stream") {
		t.Errorf("without a stream: %d %s", status, body)
	}
}

// TestHealth is what a check looks like from outside.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	c := w.run("web", "sleep 1000", func(s *runtime.Spec) {
		s.Check = &runtime.Check{Type: "http", Port: 8080, Path: "/up"}
	})
	must(t, w.engine.SetHealth(c.ID, runtime.Health{Status: "unhealthy", Since: time.Now(), Tries: 3, Failing: 3, Last: "GET http://10.209.0.2:8080/up: connection refused"}))
	var list []container.Summary
	w.get(`/containers/json?filters={"health":{"unhealthy":true}}`, &list)
	if len(list) != 1 || !strings.HasSuffix(list[0].Status, "(unhealthy)") {
		t.Errorf("list: %+v", list)
	}
	var one container.InspectResponse
	w.get("/containers/web/json", &one)
	if h := one.State.Health; h == nil || h.Status != "unhealthy" || h.FailingStreak != 3 || len(h.Log) != 1 || !strings.Contains(h.Log[0].Output, "connection refused") {
		t.Errorf("inspect: %+v", one.State.Health)
	}
}

// TestWaitAnswersAtOnce: the head comes when the wait has begun, so that what
// happens after it can't be missed.
func TestWaitAnswersAtOnce(t *testing.T) {
	w := newWorld(t)
	c := w.run("web", "sleep 1000")
	answer, err := w.client.Post("http://host/containers/web/wait?condition=next-exit", "", nil)
	must(t, err)
	defer answer.Body.Close()
	must(t, w.engine.Kill(t.Context(), c.ID, "KILL"))
	var result container.WaitResponse
	must(t, json.NewDecoder(answer.Body).Decode(&result))
	if result.StatusCode != 137 || result.Error != nil {
		t.Errorf("%+v", result)
	}
}

// TestEventStream follows while things happen, and shows what was before.
func TestEventStream(t *testing.T) {
	w := newWorld(t)
	answer, err := w.client.Get(`http://host/events?filters={"type":["container"],"event":["die","exec_create"]}`)
	must(t, err)
	defer answer.Body.Close()
	c := w.run("web", "sleep 1000")
	_, err = w.engine.ExecCreate(c.ID, runtime.ExecConfig{Command: []string{"true"}})
	must(t, err)
	must(t, w.engine.Kill(t.Context(), c.ID, "KILL"))
	in := json.NewDecoder(answer.Body)
	var actions []string
	for range 2 {
		var m events.Message
		must(t, in.Decode(&m))
		actions = append(actions, string(m.Action))
		if m.Actor.ID != c.ID || m.Actor.Attributes["name"] != "web" || m.TimeNano == 0 {
			t.Errorf("%+v", m)
		}
	}
	if got := strings.Join(actions, ", "); got != "exec_create: true, die" {
		t.Errorf("events %s", got)
	}
}

// TestHalfClose: a client that has no more input still gets all the output.
func TestHalfClose(t *testing.T) {
	w := newWorld(t)
	w.run("web", "sleep 1000")
	for _, upgrade := range []string{"Connection: Upgrade\r\nUpgrade: tcp\r\n", ""} {
		_, body := w.call("POST", "/containers/web/exec", `{"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"Cmd":["sh","-c","cat; echo done"]}`)
		var created container.ExecCreateResponse
		must(t, json.Unmarshal([]byte(body), &created))
		conn := w.dial()
		defer conn.Close()
		_, err := fmt.Fprintf(conn, "POST /exec/%s/start HTTP/1.1\r\nHost: host\r\n%sContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}early ", created.ID, upgrade)
		must(t, err)
		_, err = io.WriteString(conn, "late ")
		must(t, err)
		must(t, conn.(interface{ CloseWrite() error }).CloseWrite())
		in := bufio.NewReader(conn)
		answer, err := http.ReadResponse(in, nil)
		must(t, err)
		if want := map[bool]int{true: 101, false: 200}[upgrade != ""]; answer.StatusCode != want {
			t.Errorf("status %d, want %d", answer.StatusCode, want)
		}
		var out, errs strings.Builder
		_, err = stdcopy.StdCopy(&out, &errs, in)
		if out.String() != "early late done\n" || errs.String() != "" || err != nil {
			t.Errorf("output %q %q, %v", out.String(), errs.String(), err)
		}
		var x container.ExecInspectResponse
		w.get("/exec/"+created.ID+"/json", &x)
		if x.Running || x.ExitCode == nil || *x.ExitCode != 0 {
			t.Errorf("inspect: %+v", x)
		}
	}
}
