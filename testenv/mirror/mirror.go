// Package mirror serves stand-ins for the base images that projects name most,
// under their usual names, so that builds and tests need no registry on the
// internet: a registry on the loopback that is told to builders as a mirror
// of docker.io.
//
// Each image is made from what this machine has, the first time that somebody
// asks for it, and kept in a cache folder: the same machine gives the same
// digest. Stand-ins are for the machine's own architecture.
//
//	library/busybox:latest          busybox-static on scratch
//	library/golang:1.26             this machine's Go toolchain on busybox
//	library/debian:bookworm-slim    debootstrap's minbase, without docs
//
// What is pushed to it is served too, from memory, and forgotten at its end.
// Fault hooks let a test make it fail, stall or lie: see Faults.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sync/errgroup"
)

// Mirror is a registry that serves.
type Mirror struct {
	Faults Faults // what it does wrong; nothing at first

	addr    string
	shelf   *shelf
	backend http.Handler
	server  *http.Server
	serving errgroup.Group
}

// CacheDir is the usual folder for made images.
func CacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil { // neither $XDG_CACHE_HOME nor $HOME: a bare service
		dir = "/var/cache"
	}
	return filepath.Join(dir, "dray-lab", "mirror")
}

// Start serves on a free port of the loopback, with images kept in dir, until
// Close. ctx bounds the start and, when it ends, images being made.
func Start(ctx context.Context, dir string) (*Mirror, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the mirror: %w", err)
	}
	return Serve(ctx, dir, listener)
}

// Serve is Start on a listener of the caller's, which the mirror closes.
func Serve(ctx context.Context, dir string, listener net.Listener) (*Mirror, error) {
	shelf, err := openShelf(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the mirror's cache: %w", err), listener.Close())
	}
	m := &Mirror{addr: listener.Addr().String(), shelf: shelf}
	m.backend = registry.New(
		registry.Logger(log.New(io.Discard, "", 0)),
		registry.WithBlobHandler(shelf),
		registry.WithReferrersSupport(true))
	m.server = &http.Server{
		Handler:           m.Faults.wrap(http.HandlerFunc(m.serve)),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	m.serving.Go(func() error { return m.server.Serve(listener) })
	return m, nil
}

// Addr is 127.0.0.1:PORT; it speaks plain HTTP.
func (m *Mirror) Addr() string { return m.addr }

// Close stops serving at once.
func (m *Mirror) Close() error {
	m.Faults.Clear()
	err := m.server.Close()
	if served := m.serving.Wait(); !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// serve makes a stand-in the first time that its manifest is asked for, and
// leaves the rest to the registry.
func (m *Mirror) serve(w http.ResponseWriter, r *http.Request) {
	repo, tag, ok := manifestOf(r)
	if ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		if err := m.stock(r.Context(), repo, tag); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	m.backend.ServeHTTP(w, r)
}
