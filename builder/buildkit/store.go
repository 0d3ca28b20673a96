package buildkit

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// oldIngest is the age at which nobody writes to a half written blob any more.
const oldIngest = 24 * time.Hour

// outputStore is the image store as the builder sees it while it exports. It
// counts what arrives; blobs that are there are refused by the store below
// before a byte of them travels.
type outputStore struct {
	content.Store
	written atomic.Int64
	moved   func(bytes int64)
}

// Writer opens one blob for writing, under a name of its own: two processes
// that wrote the same blob into one file could leave a hole in it.
func (s *outputStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	w, err := s.Store.Writer(ctx, append(opts, content.WithRef(o.Ref+" "+rand.Text()))...)
	if err != nil {
		return nil, err
	}
	return &outputWriter{Writer: w, store: s}, nil
}

// removeOldIngests removes what a build that was killed left half written.
func removeOldIngests(ctx context.Context, store content.Store) error {
	half, err := store.ListStatuses(ctx)
	if errdefs.IsNotFound(err) {
		return nil // another build ended one while they were listed: next time
	}
	if err != nil {
		return err
	}
	for _, st := range half {
		if time.Since(st.UpdatedAt) < oldIngest {
			continue
		}
		if err := store.Abort(ctx, st.Ref); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

type outputWriter struct {
	content.Writer
	store *outputStore
	bytes int64
}

func (w *outputWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.bytes += int64(n)
	w.store.moved(int64(n))
	return n, err
}

func (w *outputWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	err := w.Writer.Commit(ctx, size, expected, opts...)
	if err == nil {
		w.store.written.Add(w.bytes)
	}
	return err
}

// imageSize adds up the blobs of an image, each once, manifests included.
func imageSize(ctx context.Context, store content.Store, root ocispec.Descriptor) (int64, error) {
	var mu sync.Mutex
	seen := map[digest.Digest]int64{}
	count := images.HandlerFunc(func(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		mu.Lock()
		defer mu.Unlock()
		seen[desc.Digest] = desc.Size
		return nil, nil
	})
	if err := images.Walk(ctx, images.Handlers(count, images.ChildrenHandler(store)), root); err != nil {
		return 0, err
	}
	var total int64
	for _, size := range seen {
		total += size
	}
	return total, nil
}
