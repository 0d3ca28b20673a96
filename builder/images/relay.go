package images

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
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
	shown http.Handler

	mu    sync.Mutex
	roots []digest.Digest
	// others are further places, each once; the one that answered last comes
	// first, since what an image is made of mostly lies together.
	others []registry.Source
}

func newRelay(local registry.Source) *relay {
	r := &relay{local: local}
	r.shown = registry.Handler(registry.Limit(r, r.allowed), registry.HandlerOptions{})
	return r
}

// Handler serves what is allowed at the time of each request to hosts.
func (m *Images) Handler() http.Handler { return m.relay.shown }

// allow shows an image, and everything it is made of, to the hosts.
func (r *relay) allow(image string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := digest.Digest(image); !slices.Contains(r.roots, d) {
		r.roots = append(r.roots, d)
	}
}

func (r *relay) allowed() []digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.roots)
}

// add asks a further place for what is not here. The same place, by its name, takes
// the stead of the one before: a ship adds it for each of its deployments.
func (r *relay) add(source registry.Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.others, func(o registry.Source) bool { return o.String() == source.String() }); i >= 0 {
		r.others[i] = source
		return
	}
	r.others = append(r.others, source)
}

// answered has a place asked first from now on.
func (r *relay) answered(source registry.Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.others, source); i > 0 {
		copy(r.others[1:i+1], r.others[:i])
		r.others[0] = source
	}
}

// sources returns the places to ask, this machine first.
func (r *relay) sources() []registry.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]registry.Source{r.local}, r.others...)
}

// Resolve describes content that any of the places has.
func (r *relay) Resolve(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	return first(r, func(s registry.Source) (ocispec.Descriptor, error) { return s.Resolve(ctx, d) })
}

// Fetch opens content that any of the places has.
func (r *relay) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	return first(r, func(s registry.Source) (io.ReadCloser, error) { return s.Fetch(ctx, desc, offset) })
}

// String names the relay for people.
func (r *relay) String() string { return "the deployer's machine" }

// first returns the first answer, or why there is none. That one of the places
// denies it is this machine's matter: to a host it is a place that failed.
func first[T any](r *relay, ask func(registry.Source) (T, error)) (T, error) {
	var failed []string
	for _, s := range r.sources() {
		got, err := ask(s)
		if err == nil {
			r.answered(s)
			return got, nil
		}
		if !errdefs.IsNotFound(err) {
			failed = append(failed, err.Error())
		}
	}
	var none T
	if len(failed) == 0 {
		return none, errdefs.ErrNotFound
	}
	return none, fmt.Errorf("%s: %w", strings.Join(failed, "; "), registry.ErrUnreachable)
}
