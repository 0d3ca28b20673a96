package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager stands in for systemd: a socket that the agent reports to.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt((400*time.Millisecond).Microseconds(), 10))
	return conn
}

func heard(t *testing.T, conn *net.UnixConn, patience time.Duration) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 256)
	n, err := conn.Read(text)
	if err != nil {
		return ""
	}
	return string(text[:n])
}

// TestWatchdog: an agent that answers says so again and again; one that comes up
// still is left alone; one that hangs falls silent.
func TestWatchdog(t *testing.T) {
	conn := manager(t)
	h := &hostAgent{place: place{run: t.TempDir()}, gate: newGate()}
	listener, err := net.Listen("unix", filepath.Join(h.run, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h.gate, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { _ = server.Close() })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watchdog(ctx, slog.New(slog.DiscardHandler), h.answers) }()

	if got := heard(t, conn, 5*time.Second); got != "WATCHDOG=1" {
		t.Errorf("while it comes up it says %q", got)
	}
	var asked string
	h.gate.open(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path }))
	for range 3 {
		if got := heard(t, conn, 5*time.Second); got != "WATCHDOG=1" {
			t.Errorf("while it works it says %q", got)
		}
	}
	hangs := make(chan struct{})
	h.gate.open(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	heard(t, conn, 300*time.Millisecond) // one may be under way
	if got := heard(t, conn, time.Second); got != "" {
		t.Errorf("while it hangs it says %q", got)
	}
	close(hangs)
	if got := heard(t, conn, 5*time.Second); got != "WATCHDOG=1" {
		t.Errorf("when it works again it says %q", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(asked, "/containers") {
		t.Errorf("it was asked for %q", asked)
	}
}

// TestNoManager: without one nothing is said, and nothing fails.
func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	tellManager(logger, "READY=1")
	if err := watchdog(t.Context(), logger, func(context.Context) bool { return true }); err != nil || log.Len() > 0 {
		t.Errorf("%v %s", err, &log)
	}
}
