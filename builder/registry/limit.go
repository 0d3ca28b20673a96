package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limit shows only the content of src that can be reached from roots
// (manifests or indexes), themselves included. Everything else is not found.
// The roots are asked for at each call; what a root reaches is remembered for
// as long as it is a root.
//
// Manifests are read when somebody asks for them: of an index for many
// platforms, only the platforms that are fetched are read from src.
func Limit(src Source, roots func() []digest.Digest) Source {
	return &limited{src: src, roots: roots, reach: map[digest.Digest]*reach{}}
}

type limited struct {
	src   Source
	roots func() []digest.Digest

	mu    sync.Mutex
	reach map[digest.Digest]*reach // by root
}

func (l *limited) String() string { return l.src.String() }

// Resolve knows blobs from the manifests that list them.
func (l *limited) Resolve(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	desc, err := l.find(ctx, d)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if IsManifest(desc.MediaType) {
		return l.src.Resolve(ctx, d)
	}
	return ocispec.Descriptor{MediaType: mediaTypeBlob, Digest: d, Size: desc.Size}, nil
}

func (l *limited) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if _, err := l.find(ctx, desc.Digest); err != nil {
		return nil, err
	}
	return l.src.Fetch(ctx, desc, offset)
}

// find looks for d in what the roots reach. Roots are content by digest, so
// what one reaches never changes; a root that can't be read now shows nothing
// and is tried again by the next call.
func (l *limited) find(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	reaches := l.current()
	for _, r := range reaches {
		if desc, ok := r.find(d); ok {
			// Who asks for a manifest asks for its content next.
			return desc, r.read(ctx, l.src, d)
		}
	}
	var failed []error
	for _, r := range reaches {
		desc, err := r.search(ctx, l.src, d)
		if err == nil {
			return desc, nil
		}
		if !errdefs.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("listing the content of %s: %w", r.root, err))
		}
	}
	if len(failed) > 0 {
		return ocispec.Descriptor{}, errors.Join(failed...)
	}
	return ocispec.Descriptor{}, fmt.Errorf("%s is not part of what is served here: %w", d, errdefs.ErrNotFound)
}

// current gives what each root reaches, as far as it is known, and forgets
// what is no root any more.
func (l *limited) current() []*reach {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.reach
	l.reach = map[digest.Digest]*reach{}
	var all []*reach
	for _, root := range l.roots() {
		r := known[root]
		if r == nil {
			desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: root}
			r = &reach{root: root, seen: map[digest.Digest]ocispec.Descriptor{root: desc}, unread: []node{{desc, 0}}}
		}
		if l.reach[root] == nil {
			l.reach[root] = r
			all = append(all, r)
		}
	}
	return all
}

// reach is what one root reaches, as far as its manifests have been read.
type reach struct {
	root digest.Digest

	reading sync.Mutex // held while a manifest is read

	mu     sync.Mutex
	seen   map[digest.Digest]ocispec.Descriptor
	unread []node // manifests whose content is not in seen yet
}

type node struct {
	desc  ocispec.Descriptor
	depth int
}

func (r *reach) find(d digest.Digest) (ocispec.Descriptor, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	desc, ok := r.seen[d]
	return desc, ok
}

// next is the unread manifest with digest d, or any when d is empty.
func (r *reach) next(d digest.Digest) (node, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.unread {
		if d == "" || n.desc.Digest == d {
			return n, true
		}
	}
	return node{}, false
}

// read reads d, if it is a manifest that has not been read.
func (r *reach) read(ctx context.Context, src Source, d digest.Digest) error {
	if _, ok := r.next(d); !ok {
		return nil
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	n, ok := r.next(d)
	if !ok {
		return nil
	}
	return r.open(ctx, src, n)
}

// search reads manifests until d is found.
func (r *reach) search(ctx context.Context, src Source, d digest.Digest) (ocispec.Descriptor, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	for {
		if desc, ok := r.find(d); ok {
			return desc, nil
		}
		n, ok := r.next("")
		if !ok {
			return ocispec.Descriptor{}, errdefs.ErrNotFound
		}
		// An image of one platform is often all that there is of an index.
		if err := r.open(ctx, src, n); err != nil && (n.depth == 0 || !errdefs.IsNotFound(err)) {
			return ocispec.Descriptor{}, err
		}
	}
}

// open reads a manifest. The caller has r.reading.
func (r *reach) open(ctx context.Context, src Source, n node) error {
	children, err := readChildren(ctx, src, n)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil || errdefs.IsNotFound(err) && n.depth > 0 {
		r.unread = slices.DeleteFunc(r.unread, func(u node) bool { return u.desc.Digest == n.desc.Digest })
	}
	for _, c := range children {
		if _, known := r.seen[c.Digest]; known {
			continue
		}
		r.seen[c.Digest] = c
		if IsManifest(c.MediaType) {
			r.unread = append(r.unread, node{c, n.depth + 1})
		}
	}
	return err
}

func readChildren(ctx context.Context, src Source, n node) ([]ocispec.Descriptor, error) {
	if n.depth > maxDepth {
		return nil, fmt.Errorf("reading %s: indexes within indexes, more than %d deep", n.desc.Digest, maxDepth)
	}
	b, err := ReadAll(ctx, src, n.desc, MaxManifest)
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", n.desc.Digest, err)
	}
	return m.Children(), nil
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
