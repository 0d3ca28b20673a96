package supervise

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"dray/targets/runtime"
)

func TestProbeHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/up", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "web" {
			http.Error(w, "host "+r.Host, http.StatusTeapot)
		}
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/down", http.StatusFound) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "starting\ndatabase is away\x1b[0m", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, forever{}) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	server := httptest.NewServer(mux)
	defer server.Close()
	to := netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://"))
	closed := freePort(t)
	tests := []struct {
		to   netip.AddrPort
		path string
		want string // "" is healthy
	}{
		{to, "/up", ""},
		{to, "up", ""},
		{to, "/moved", ""},
		{to, "/endless", ""},
		{to, "/down", fmt.Sprintf("GET http://%v/down: status 503: database is away[0m", to)},
		{to, "/none", fmt.Sprintf("GET http://%v/none: status 404: 404 page not found", to)},
		{to, "/slow", fmt.Sprintf("GET http://%v/slow: no answer within 300ms", to)},
		{to, "/cut", fmt.Sprintf("GET http://%v/cut: the connection was closed without an answer", to)},
		{closed, "/up", fmt.Sprintf("GET http://%v/up: connection refused", closed)},
	}
	for _, tt := range tests {
		t.Run(strings.Trim(tt.path, "/"), func(t *testing.T) {
			limit := time.Minute
			if tt.path == "/slow" {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("no answer within 300ms"))
			defer cancel()
			check(t, probeHTTP(ctx, "web", tt.to, tt.path), tt.want)
		})
	}
}

func TestProbeTCP(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	check(t, probeTCP(t.Context(), netip.MustParseAddrPort(l.Addr().String())), "")
	closed := freePort(t)
	check(t, probeTCP(t.Context(), closed), fmt.Sprintf("connecting to %v: connection refused", closed))
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// freePort returns an address that nothing listens on.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

type forever struct{}

func (forever) Read(p []byte) (int, error) { return len(p), nil }

func TestExplain(t *testing.T) {
	parse := func(list ...string) []netip.AddrPort {
		var all []netip.AddrPort
		for _, s := range list {
			all = append(all, netip.MustParseAddrPort(s))
		}
		return all
	}
	tests := []struct {
		listens []netip.AddrPort
		want    string
	}{
		{nil, "the container listens on no TCP port"},
		{parse("[::]:8080"), ""},
		{parse("0.0.0.0:80"), "the container listens on :80, not on 8080"},
		{parse("[::]:9090", "0.0.0.0:80", "[::]:80", "127.0.0.1:6060"), "the container listens on :80 and :9090, not on 8080"},
		{parse("127.0.0.1:8080", "0.0.0.0:80"), "the container listens on 127.0.0.1:8080 only, which nothing outside it can reach; let it listen on 0.0.0.0:8080"},
		{parse("127.0.0.1:8080", "10.209.0.2:8080"), ""},
	}
	for _, tt := range tests {
		if got := explain(8080, tt.listens); got != tt.want {
			t.Errorf("%v:\n got %q\nwant %q", tt.listens, got, tt.want)
		}
	}
}

// TestDiagnose reads the sockets of this process.
func TestDiagnose(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skip("no such address here: ", err)
		}
		defer l.Close()
		at := netip.MustParseAddrPort(l.Addr().String())
		c := runtime.Container{Pid: os.Getpid(), Spec: runtime.Spec{Check: &runtime.Check{Type: "tcp", Port: int(at.Port())}}}
		if got := diagnose(c); !strings.Contains(got, "listens on "+at.String()+" only") {
			t.Errorf("%v: %q", at, got)
		}
	}
}

func FuzzReadListeners(f *testing.F) {
	f.Add("  sl  local_address rem_address   st\n   0: 0100007F:1F40 00000000:0000 0A 0\n   1: 00000000000000000000000001000000:0050 0:0 0A\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, a := range readListeners(strings.NewReader(s)) {
			if !a.IsValid() {
				t.Error("an address that is none")
			}
		}
	})
}
