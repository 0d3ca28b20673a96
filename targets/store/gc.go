package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
)

// resumable is how long content that arrived is kept though no image needs it:
// whole blobs, and interrupted downloads. A pull that failed goes on from it.
const resumable = 24 * time.Hour

// beginning is how long a download is left alone that nothing needs: a pull that
// has just begun may not have said yet what it needs.
const beginning = time.Minute

// shortOf is the part of the disk that must be free for such content to stay:
// a tenth.
const shortOf = 10

// GC removes what nothing needs: images that are not retained, that no
// container stands on and that are older than Options.Grace, then their layers,
// and content that arrived a day ago or earlier. What came later is kept, unless
// recent says otherwise, or the disk needs the room. It gives the bytes freed.
// It may run beside pulls; what they need is left alone.
//
// Mounts and pulls wait only while records are removed, not for the files of
// large layers: those go afterwards, with nothing held.
func (s *Store) GC(ctx context.Context, recent bool) (freed int64, err error) {
	freed, err = s.collect(ctx, recent)
	if cleanErr := s.removeFiles(ctx); cleanErr != nil {
		err = errors.Join(err, fmt.Errorf("removing the files of unused layers: %w", cleanErr))
	}
	return freed, err
}

// collect is GC without the removal of files that no record names any more.
func (s *Store) collect(ctx context.Context, recent bool) (freed int64, err error) {
	s.pins.mu.Lock()
	defer s.pins.mu.Unlock()
	if short, err := s.short(); err != nil {
		return 0, fmt.Errorf("collecting garbage: %w", err)
	} else if short {
		recent = true
	}
	live, dead, err := s.mark()
	if err != nil {
		return 0, fmt.Errorf("collecting garbage: %w", err)
	}
	// Records go first: one must never speak of what has been removed.
	if err := s.index.remove(bucketImages, dead...); err != nil {
		return 0, fmt.Errorf("collecting garbage: %w", err)
	}
	snaps, err := s.sweepSnapshots(ctx, live)
	if err != nil {
		return snaps, fmt.Errorf("collecting unused layers: %w", err)
	}
	blobs, err := s.sweepContent(ctx, live, recent)
	if err != nil {
		return snaps + blobs, fmt.Errorf("collecting unused content: %w", err)
	}
	return snaps + blobs, nil
}

// mark lists what is needed (digests of content and of chains, and keys of
// containers' snapshots) and the images that are not.
func (s *Store) mark() (live map[string]bool, dead []string, err error) {
	roots, live := map[digest.Digest]bool{}, map[string]bool{}
	for key := range s.pins.count {
		live[key] = true
		roots[digest.Digest(key)] = true
	}
	retained, err := all[[]digest.Digest](s.index, bucketRetained)
	if err != nil {
		return nil, nil, err
	}
	for _, ds := range retained {
		for _, d := range ds {
			roots[d] = true
		}
	}
	containers, err := s.containerDigests()
	if err != nil {
		return nil, nil, err
	}
	for id, d := range containers {
		roots[d] = true
		live[containerPrefix+id] = true
	}
	images, err := all[Image](s.index, bucketImages)
	if err != nil {
		return nil, nil, err
	}
	for key, img := range images {
		if !roots[img.Digest] && !roots[img.Manifest] && time.Since(img.Pulled) > s.opts.Grace {
			dead = append(dead, key)
			continue
		}
		for _, d := range img.content() {
			live[d.String()] = true
		}
		for _, l := range img.Layers {
			live[l.ChainID.String()] = true
		}
	}
	return live, dead, nil
}

// sweepSnapshots removes snapshots from the leaves down.
func (s *Store) sweepSnapshots(ctx context.Context, live map[string]bool) (freed int64, err error) {
	parent, children := map[string]string{}, map[string]int{}
	err = s.snap.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		parent[info.Name] = info.Parent
		children[info.Parent]++
		return nil
	})
	if err := ignoreMissing(err); err != nil {
		return 0, err
	}
	for grown := true; grown; {
		grown = false
		for name, below := range parent {
			if children[name] > 0 || live[name] || strings.HasPrefix(name, unpackPrefix) && live[unpackedChain(name)] {
				continue
			}
			usage, err := s.snap.Usage(ctx, name)
			if err == nil {
				err = s.snap.Remove(ctx, name)
			}
			if err := ignoreMissing(err); err != nil {
				return freed, err
			}
			freed += usage.Size
			delete(parent, name)
			children[below]--
			grown = true
		}
	}
	return freed, nil
}

// unpackedChain is the chain id in the key of a snapshot that is being
// unpacked.
func unpackedChain(key string) string {
	hex, _, _ := strings.Cut(strings.TrimPrefix(key, unpackPrefix), "-")
	return digest.NewDigestFromEncoded(digest.SHA256, hex).String()
}

func (s *Store) sweepContent(ctx context.Context, live map[string]bool, recent bool) (freed int64, err error) {
	dead := map[digest.Digest]int64{}
	err = s.content.Walk(ctx, func(info content.Info) error {
		if !live[info.Digest.String()] && (recent || time.Since(info.CreatedAt) >= resumable) {
			dead[info.Digest] = info.Size
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for d, size := range dead {
		if err := ignoreMissing(s.content.Delete(ctx, d)); err != nil {
			return freed, err
		}
		freed += size
	}
	statuses, err := s.content.ListStatuses(ctx)
	if err := ignoreMissing(err); err != nil {
		return freed, err // a download that ends while they are listed is reported missing: the next run sees the others
	}
	for _, st := range statuses {
		if live[strings.TrimPrefix(st.Ref, "pull-")] || time.Since(st.UpdatedAt) < beginning || !recent && time.Since(st.UpdatedAt) < resumable {
			continue
		}
		if err := ignoreMissing(s.content.Abort(ctx, st.Ref)); err != nil {
			return freed, err
		}
		freed += st.Offset
	}
	return freed, nil
}
