package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
)

// relay is what the hosts of a run may pull from this machine: images of this
// user's store, and images that another place has (a registry that a host
// can't reach, a host of the environment before). Only what a run has allowed
// is shown.
type relay struct {
	local registry.Source

	mu      sync.Mutex
	roots   map[digest.Digest]bool
	origins []registry.Source
}

func newRelay(p *project) *relay {
	return &relay{local: p.images.Source(), roots: map[digest.Digest]bool{}}
}

// allow shows an image, and everything it is made of, to the hosts.
func (r *relay) allow(image string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roots[digest.Digest(image)] = true
}

// add asks a further place for what is not here.
func (r *relay) add(origin registry.Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.origins = append(r.origins, origin)
}

// handler serves what is allowed at the time of each request.
func (r *relay) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		roots := make([]digest.Digest, 0, len(r.roots))
		for d := range r.roots {
			roots = append(roots, d)
		}
		r.mu.Unlock()
		registry.Handler(registry.Limit(r, roots...), registry.HandlerOptions{}).ServeHTTP(w, req)
	})
}

// sources returns the places to ask, this machine first.
func (r *relay) sources() []registry.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]registry.Source{r.local}, r.origins...)
}

// Resolve describes content that any of the places has.
func (r *relay) Resolve(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	return first(r.sources(), func(s registry.Source) (ocispec.Descriptor, error) { return s.Resolve(ctx, d) })
}

// Fetch opens content that any of the places has.
func (r *relay) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	return first(r.sources(), func(s registry.Source) (io.ReadCloser, error) { return s.Fetch(ctx, desc, offset) })
}

// String names the relay for people.
func (r *relay) String() string { return "the deployer's machine" }

// first returns the first answer, or why there is none.
func first[T any](sources []registry.Source, ask func(registry.Source) (T, error)) (T, error) {
	var failed []error
	for _, s := range sources {
		got, err := ask(s)
		if err == nil {
			return got, nil
		}
		if !errdefs.IsNotFound(err) {
			failed = append(failed, err)
		}
	}
	var none T
	if len(failed) == 0 {
		return none, errdefs.ErrNotFound
	}
	return none, errors.Join(failed...)
}
