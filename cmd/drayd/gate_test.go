package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask asks a gate, and returns the answer once there is one.
func askGate(g *gate) func() *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/dray/v1/host", nil))
	}()
	return func() *httptest.ResponseRecorder { <-done; return w }
}

// TestTheGateTellsWhy asks an agent that fails to come up twice: the first
// request waits for the first try, later ones are told the reason, and at last
// there is an agent.
func TestTheGateTellsWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		early := askGate(g)
		tries := 0
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- comeUp(ctx, g, slog.New(slog.DiscardHandler), func(ctx context.Context) error {
				if tries++; tries < 3 {
					return errors.New("reading the network's state: input/output error")
				}
				g.open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up")) }))
				<-ctx.Done()
				return nil
			})
		}()
		for _, asked := range []func() *httptest.ResponseRecorder{early, askGate(g)} {
			if got := asked(); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "input/output error") {
				t.Errorf("while it can't come up: %d %s", got.Code, got.Body)
			}
		}
		time.Sleep(2 * lastUp) // of the bubble's time
		if got := askGate(g)(); got.Body.String() != "up" {
			t.Errorf("once it is up: %d %s", got.Code, got.Body)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
}

// TestOneAgentAState has a second agent wait for the lock in vain.
func TestOneAgentAState(t *testing.T) {
	dir := t.TempDir()
	first, err := lockState(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockState(ctx, dir); err == nil {
		t.Error("a second agent has locked it too")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockState(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
