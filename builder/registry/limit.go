package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limit shows only the content of src that can be reached from roots
// (manifests or indexes), themselves included. Everything else is not found.
func Limit(src Source, roots ...digest.Digest) Source {
	return LimitTo(src, func() []digest.Digest { return roots })
}

// LimitTo is Limit with roots that are asked for at each call. What a root
// reaches is remembered for as long as it is a root.
func LimitTo(src Source, roots func() []digest.Digest) Source {
	return &limited{src: src, roots: roots, reach: map[digest.Digest]map[digest.Digest]bool{}}
}

type limited struct {
	src   Source
	roots func() []digest.Digest

	mu    sync.Mutex
	reach map[digest.Digest]map[digest.Digest]bool // by root
}

func (l *limited) String() string { return l.src.String() }

func (l *limited) Resolve(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	if err := l.check(ctx, d); err != nil {
		return ocispec.Descriptor{}, err
	}
	return l.src.Resolve(ctx, d)
}

func (l *limited) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if err := l.check(ctx, desc.Digest); err != nil {
		return nil, err
	}
	return l.src.Fetch(ctx, desc, offset)
}

// check finds d among what the roots reach. Roots are content by digest, so
// what one reaches never changes; a root that can't be read now shows nothing
// and is tried again by the next call.
func (l *limited) check(ctx context.Context, d digest.Digest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	reach := map[digest.Digest]map[digest.Digest]bool{}
	defer func() { l.reach = reach }()
	var failed []error
	for _, root := range l.roots() {
		seen, err := l.reach[root], error(nil)
		if seen == nil {
			seen, err = l.walk(ctx, root)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("listing the content of %s: %w", root, err))
			continue
		}
		reach[root] = seen
	}
	for _, seen := range reach {
		if seen[d] {
			return nil
		}
	}
	return errors.Join(append(failed, fmt.Errorf("%s is not part of what is served here: %w", d, errdefs.ErrNotFound))...)
}

func (l *limited) walk(ctx context.Context, root digest.Digest) (map[digest.Digest]bool, error) {
	seen := map[digest.Digest]bool{}
	err := Walk(ctx, l.src, root, func(desc ocispec.Descriptor, _ *Manifest) error {
		seen[desc.Digest] = true
		return nil
	})
	return seen, err
}

// maxDepth bounds indexes within indexes.
const maxDepth = 4

// Walk visits root and everything that it reaches in src, each once, parents
// first. Manifests and indexes come with their parsed form; blobs with nil. A
// manifest that an index lists and src does not have is visited with nil: an
// image of one platform is often all that there is.
func Walk(ctx context.Context, src Source, root digest.Digest, visit func(ocispec.Descriptor, *Manifest) error) error {
	desc, err := src.Resolve(ctx, root)
	if err != nil {
		return err
	}
	w := walker{src: src, visit: visit, seen: map[digest.Digest]bool{}}
	return w.walk(ctx, desc, 0)
}

type walker struct {
	src   Source
	visit func(ocispec.Descriptor, *Manifest) error
	seen  map[digest.Digest]bool
}

func (w *walker) walk(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if w.seen[desc.Digest] {
		return nil
	}
	w.seen[desc.Digest] = true
	if !IsManifest(desc.MediaType) {
		return w.visit(desc, nil)
	}
	if depth > maxDepth {
		return fmt.Errorf("walking %s: indexes within indexes, more than %d deep", desc.Digest, maxDepth)
	}
	b, err := ReadAll(ctx, w.src, desc, MaxManifest)
	if errdefs.IsNotFound(err) && depth > 0 {
		return w.visit(desc, nil)
	}
	if err != nil {
		return err
	}
	m, err := ParseManifest(b)
	if err != nil {
		return fmt.Errorf("walking %s: %w", desc.Digest, err)
	}
	if err := w.visit(desc, m); err != nil {
		return err
	}
	for _, child := range m.Children() {
		if err := w.walk(ctx, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}
