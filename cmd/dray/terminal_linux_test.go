package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/moby/api/types/container"

	"dray/pipeline/event"
	"dray/targets/api"
)

// program is what a fake host runs at the terminal that dray gives it. It ends
// with its code when it reads Ctrl-C.
type program struct {
	code int
	gone chan struct{} // closed once its terminal has gone or it has ended
}

// serve joins the program with the connection of a request, as the Engine API
// does for exec and attach.
func (p *program) serve(t *testing.T, w http.ResponseWriter) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer close(p.gone)
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nready\r\n")
	for {
		key, err := rw.ReadByte()
		if err != nil {
			return
		}
		if key == '\x03' {
			_, _ = io.WriteString(conn, "it read Ctrl-C\r\n")
			_ = conn.(interface{ CloseWrite() error }).CloseWrite() // an end, and no cut
			return
		}
	}
}

// onTerminal is dray exec -t or dray run -t, with a host on which a program of
// that runs.
type onTerminal struct {
	args []string
	host func(t *testing.T, p *program) string // and the project's folder
}

func onTerminals() map[string]onTerminal {
	resize := func(http.ResponseWriter, *http.Request) {}
	return map[string]onTerminal{
		"exec": {args: []string{"exec", "-it", "prod", "web", "--", "sh"}, host: func(t *testing.T, p *program) string {
			h := startFakeHost(t)
			h.says("GET /containers/json", []container.Summary{{ID: "c1", State: "running", Labels: map[string]string{"dray.instance": "web/1"}}})
			h.says("POST /containers/c1/exec", map[string]string{"Id": "e1"})
			h.routes.HandleFunc("POST /exec/e1/start", func(w http.ResponseWriter, _ *http.Request) { p.serve(t, w) })
			h.routes.HandleFunc("POST /exec/e1/resize", resize)
			h.says("GET /exec/e1/json", map[string]int{"ExitCode": p.code})
			return h.project("", false, prod)
		}},
		"run": {args: []string{"run", "-it", "prod", "web", "--", "sh"}, host: func(t *testing.T, p *program) string {
			h := startFakeHost(t)
			h.says(api.RouteEnvironment, api.Environment{Project: "shop", Name: "prod", Current: &api.Release{Number: 41, Placement: map[string][]string{"p1": {"web/1"}}}})
			h.routes.HandleFunc(api.RouteRunService, func(w http.ResponseWriter, r *http.Request) {
				lines := json.NewEncoder(w)
				_ = lines.Encode(api.StreamLine{Event: &event.Event{Type: event.InstanceState, State: event.Staged, Subject: "c2"}})
				w.(http.Flusher).Flush()
				select {
				case <-p.gone:
				case <-r.Context().Done():
				}
				result, err := json.Marshal(api.ServiceRun{ExitCode: p.code})
				if err != nil {
					t.Error(err)
				}
				_ = lines.Encode(api.StreamLine{Result: result})
			})
			h.routes.HandleFunc("POST /containers/c2/attach", func(w http.ResponseWriter, _ *http.Request) { p.serve(t, w) })
			h.routes.HandleFunc("POST /containers/c2/start", resize)
			h.routes.HandleFunc("POST /containers/c2/resize", resize)
			return h.project("", false, prod)
		}},
	}
}

// TestTerminalPassesKeysOn: Ctrl-C is a key for the program, whose exit code
// becomes dray's.
func TestTerminalPassesKeysOn(t *testing.T) {
	for name, on := range onTerminals() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := &program{code: 7, gone: make(chan struct{})}
			p := sit(t, on.host(t, program), on.args...)
			p.sees("ready")
			if mode := p.mode(); mode.Lflag&(syscall.ECHO|syscall.ICANON|syscall.ISIG) != 0 {
				t.Errorf("while the program has the terminal it is in mode %#x", mode.Lflag)
			}
			p.types("ls\x03")
			if shown := p.ends(7); !strings.Contains(shown, "it read Ctrl-C") {
				t.Errorf("the program did not read Ctrl-C:\n%s", shown)
			}
		})
	}
}

// TestTerminalEndsWithASignal: a signal ends dray, once or twice, leaves the
// terminal as it was, and takes it from the program.
func TestTerminalEndsWithASignal(t *testing.T) {
	for name, on := range onTerminals() {
		for _, how := range []string{"SIGINT", "SIGTERM", "SIGTERM twice"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				program := &program{gone: make(chan struct{})}
				p := sit(t, on.host(t, program), on.args...)
				p.sees("ready")
				interruptions[how](p)
				p.ends(exitInterrupted)
				<-program.gone
			})
		}
	}
}
