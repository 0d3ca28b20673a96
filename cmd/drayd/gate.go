package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dray/targets/api"
)

// gate answers on the agent's socket from its first moment on. A request waits
// until the agent is up; while it can't come up, the answer is why.
type gate struct {
	mu      sync.Mutex
	handler http.Handler  // nil: not up yet
	fault   error         // why it is not; nil: it is on its way
	changed chan struct{} // closed and replaced at each change
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// open lets requests through to handler.
func (g *gate) open(handler http.Handler) { g.set(handler, nil) }

// refuse answers requests with the fault, until the gate is opened.
func (g *gate) refuse(fault error) { g.set(nil, fault) }

func (g *gate) set(handler http.Handler, fault error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handler, g.fault = handler, fault
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.handler != nil
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for {
		g.mu.Lock()
		handler, fault, changed := g.handler, g.fault, g.changed
		g.mu.Unlock()
		switch {
		case handler != nil:
			handler.ServeHTTP(w, r)
			return
		case fault != nil:
			notUp(w, fault)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// notUp is the answer of an agent that can't come up, in a form that clients of
// both its APIs read.
func notUp(w http.ResponseWriter, fault error) {
	unavailable(w, fmt.Sprintf("the agent of this host can't come up: %v; containers go on as they are, and it tries again by itself", fault))
}

func unavailable(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(api.Errorf(api.CodeInternal, "%s", message)) // a client that is gone needs no answer
}

// lockTime is how long an agent waits for the one before it to end.
const lockTime = 10 * time.Second

// lockState makes this process the only agent of a state folder, until the file
// is closed or the process ends. It is the folder that is locked: that works on
// a full disk too.
func lockState(ctx context.Context, folder string) (*os.File, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockTime)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) || ctx.Err() != nil {
			return nil, errors.Join(fmt.Errorf("locking %s, where another agent may be at work: %w", folder, err), f.Close())
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}
