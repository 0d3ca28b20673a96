package store

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

const unpackPrefix = "unpack-"

// unpacked is a layer whose files are in an active snapshot, verified but not
// yet synced nor committed.
type unpacked struct {
	key     string   // of the active snapshot
	dir     string   // its files
	implied []string // folders that the tar has no entry for, parents first
}

// unpack reads a layer into a new active snapshot over parent and verifies its
// diff id. On failure nothing is left.
//
// containerd's applier keeps every path inside the folder: it resolves links
// against it, cleans names, and refuses whiteouts that lead out. What it does
// not bound is size, which is done here.
func (s *Store) unpack(ctx context.Context, l Layer, parent digest.Digest, r io.Reader) (_ unpacked, err error) {
	u := unpacked{key: unpackPrefix + l.ChainID.Encoded() + "-" + token()}
	mounts, err := s.snap.Prepare(ctx, u.key, parent.String())
	if err != nil {
		return u, fmt.Errorf("making a folder for layer %s: %w", l.Digest, s.asSpace(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.discard(ctx, u.key))
		}
	}()
	if u.dir, err = folder(mounts); err != nil {
		return u, err
	}
	limit, err := s.layerLimit()
	if err != nil {
		return u, err
	}
	filter := &entries{limit: limit, left: s.opts.MaxEntries, explicit: map[string]bool{}, parents: map[string]bool{}}
	opts := []archive.ApplyOpt{archive.WithFilter(filter.see)}
	if s.parallel {
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	}
	diffID, err := inflate(ctx, r, limit, func(ctx context.Context, tar io.Reader) error {
		_, err := archive.Apply(ctx, u.dir, tar, opts...)
		return err
	})
	if errors.Is(err, errTooLarge) && limit < s.opts.MaxLayer {
		err = &SpaceError{Path: s.dir, Free: limit, err: err}
	}
	if err != nil {
		return u, fmt.Errorf("unpacking layer %s: %w", l.Digest, s.asSpace(err))
	}
	if diffID != l.DiffID {
		return u, fmt.Errorf("unpacking layer %s: it holds %s, but the image's config says %s: %w", l.Digest, diffID, l.DiffID, errContent)
	}
	u.implied = filter.implied()
	return u, nil
}

// errContent says that content is not what its description promises.
var errContent = errors.New("content is not what was promised")

// layerLimit is what a layer may unpack to: never more than the disk has.
func (s *Store) layerLimit() (int64, error) {
	free, err := s.free()
	if err != nil {
		return 0, err
	}
	return min(s.opts.MaxLayer, max(free-reserve, 0)), nil
}

// folder is where an active snapshot's files are: snapshots without layers
// below (overlay) and those of the native snapshotter are plain binds.
func folder(mounts []mount.Mount) (string, error) {
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return "", fmt.Errorf("expected one folder to unpack into, got %v: %w", mounts, errdefs.ErrInternal)
	}
	return mounts[0].Source, nil
}

// discard removes an active snapshot, also when ctx has ended.
func (s *Store) discard(ctx context.Context, key string) error {
	if err := s.snap.Remove(context.WithoutCancel(ctx), key); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing an unfinished layer: %w", err)
	}
	return nil
}

// commit makes layer i a snapshot under its chain id. Another pull may have
// been first; then its snapshot stands.
func (s *Store) commit(ctx context.Context, img *Image, i int, u *unpacked) error {
	l, key := img.Layers[i], u.key
	u.key = "" // from here on it is removed here
	var opts []snapshots.Opt
	if parent := img.below(i); s.parallel && parent != "" {
		opts = append(opts, snapshots.WithParent(parent.String()))
	}
	err := s.snap.Commit(ctx, l.ChainID.String(), key, opts...)
	if errdefs.IsAlreadyExists(err) {
		return s.discard(ctx, key)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("recording layer %s: %w", l.Digest, s.asSpace(err)), s.discard(ctx, key))
	}
	return nil
}

func token() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}

// entries watches a tar's entries go by: it bounds their number and the size
// that they claim (a sparse file claims more than it sends), and notes which
// folders the tar has no entry for.
type entries struct {
	limit    int64 // bytes left
	left     int64 // entries left
	explicit map[string]bool
	parents  map[string]bool
	order    []string
}

func (e *entries) see(hdr *tar.Header) (bool, error) {
	if e.left--; e.left < 0 {
		return false, fmt.Errorf("too many files: %w", errTooLarge)
	}
	if hdr.Size < 0 || hdr.Size > e.limit {
		return false, errTooLarge
	}
	e.limit -= hdr.Size
	name := strings.Trim(path.Clean("/"+hdr.Name), "/")
	if hdr.Typeflag == tar.TypeDir {
		e.explicit[name] = true
	}
	for dir := path.Dir(name); dir != "." && !e.explicit[dir] && !e.parents[dir]; dir = path.Dir(dir) {
		e.parents[dir] = true
		e.order = append(e.order, dir)
	}
	return true, nil
}

// implied lists the folders without an entry, parents first.
func (e *entries) implied() []string {
	var list []string
	for _, dir := range e.order {
		if !e.explicit[dir] {
			list = append(list, dir)
		}
	}
	sortByDepth(list)
	return list
}
