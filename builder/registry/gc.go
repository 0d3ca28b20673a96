package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrBusy is returned by GC while an image is being written.
var ErrBusy = errors.New("an image is being written")

// GC removes content that no name reaches and that is older than keep, and
// ingests that nobody has written to for so long. A referrer is kept as long
// as its subject. It gives the bytes freed. While any process holds the store
// it does nothing and returns ErrBusy.
func (s *Store) GC(ctx context.Context, keep time.Duration) (freed int64, err error) {
	l := flock.New(filepath.Join(s.dir, "lock"))
	ok, err := l.TryLock()
	if err != nil {
		return 0, fmt.Errorf("locking the image store: %w", err)
	}
	defer l.Close() // the lock ends with the file, whatever Close says
	if !ok {
		return 0, ErrBusy
	}
	live, err := s.live(ctx)
	if err != nil {
		return 0, fmt.Errorf("collecting garbage: %w", err)
	}
	before := s.now().Add(-keep)
	dead := map[digest.Digest]int64{}
	err = s.content.Walk(ctx, func(info content.Info) error {
		if !live[info.Digest] && info.CreatedAt.Before(before) {
			dead[info.Digest] = info.Size
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("collecting garbage: %w", err)
	}
	for d, size := range dead {
		if err := s.content.Delete(ctx, d); err != nil && !errdefs.IsNotFound(err) {
			return freed, fmt.Errorf("collecting garbage: %w", err)
		}
		freed += size
	}
	return freed, s.abortStale(ctx, before)
}

func (s *Store) abortStale(ctx context.Context, before time.Time) error {
	statuses, err := s.content.ListStatuses(ctx)
	if errdefs.IsNotFound(err) {
		return nil // one ended while they were listed; the next run sees the others
	}
	if err != nil {
		return fmt.Errorf("listing unfinished writes: %w", err)
	}
	for _, st := range statuses {
		if st.UpdatedAt.Before(before) {
			if err := s.content.Abort(ctx, st.Ref); err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("dropping an unfinished write: %w", err)
			}
		}
	}
	return nil
}

// live lists what the names reach. Referrers whose subject is not live are no
// roots.
func (s *Store) live(ctx context.Context) (map[digest.Digest]bool, error) {
	entries, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	live := map[digest.Digest]bool{}
	mark := func(root digest.Digest) error {
		err := Walk(ctx, s.Source(), root, func(d ocispec.Descriptor, _ *Manifest) error {
			live[d.Digest] = true
			return nil
		})
		if errdefs.IsNotFound(err) {
			return nil // the name leads nowhere, so it keeps nothing
		}
		return err
	}
	var referrers []Entry
	for _, e := range entries {
		if e.Subject != "" {
			referrers = append(referrers, e)
			continue
		}
		if err := mark(e.Digest); err != nil {
			return nil, err
		}
	}
	for grown := true; grown; {
		grown = false
		for _, e := range referrers {
			if live[e.Subject] && !live[e.Digest] {
				grown = true
				if err := mark(e.Digest); err != nil {
					return nil, err
				}
			}
		}
	}
	return live, nil
}
