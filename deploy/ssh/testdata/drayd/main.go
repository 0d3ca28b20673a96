// Command drayd is a stand-in for tests of the connection: its agent answers
// what the tests ask, everything else is targets/connect.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"dray/targets/api"
	"dray/targets/api/link"
	"dray/targets/connect"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	verb := "agent"
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	err := error(nil)
	if slices.Contains(connect.Verbs, verb) {
		err = connect.Command(ctx, verb, os.Args[2:], os.Stdout)
	} else {
		err = agent(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "drayd:", err)
		os.Exit(1)
	}
}

func agent(ctx context.Context) error {
	const path = "/run/dray/agent.sock"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes()}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Fprintln(os.Stderr, "the agent listens")
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(api.RouteHost, func(w http.ResponseWriter, _ *http.Request) {
		self, _ := os.Readlink("/proc/self/exe")
		_ = json.NewEncoder(w).Encode(api.Host{ID: strconv.Itoa(os.Getpid()), Hostname: self, API: api.Version})
	})
	mux.HandleFunc("GET /bytes", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		_, _ = io.CopyN(w, zeroes{}, n)
	})
	mux.HandleFunc("POST /bytes", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	})
	mux.HandleFunc("POST /reverse", reverse)
	mux.HandleFunc("GET /peer", func(w http.ResponseWriter, r *http.Request) {
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", r.URL.Query().Get("socket"))
		}}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("http://peer" + r.URL.Query().Get("path"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
	return mux
}

// reverse takes the connection over, reads until the client has ended its
// half, and answers only then.
func reverse(w http.ResponseWriter, _ *http.Request) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	text, err := io.ReadAll(buffered)
	if err != nil {
		return
	}
	slices.Reverse(text)
	_, _ = conn.Write(text)
	_ = conn.(link.HalfCloser).CloseWrite()
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }
