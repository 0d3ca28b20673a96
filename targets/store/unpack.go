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
	share   *share   // what it took of its pull's budget
}

// unpack reads a layer into a new active snapshot over parent and verifies its
// diff id, within the budget of its pull. On failure nothing is left.
//
// containerd's applier keeps every path inside the folder: it resolves links
// against it, cleans names, and refuses whiteouts that lead out. What it does
// not bound is size, which is done here.
func (s *Store) unpack(ctx context.Context, l Layer, parent digest.Digest, r io.Reader, of *budget) (_ unpacked, err error) {
	u := unpacked{key: unpackPrefix + l.ChainID.Encoded() + "-" + token()}
	mounts, err := s.snap.Prepare(ctx, u.key, parent.String())
	if err != nil {
		return u, fmt.Errorf("making a folder for layer %s: %w", l.Digest, s.asSpace(err))
	}
	u.share = &share{of: of}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.discard(ctx, u.key))
			u.share.giveBack()
		}
	}()
	if u.dir, err = folder(mounts); err != nil {
		return u, err
	}
	filter := &entries{limit: s.opts.MaxLayer, share: u.share, explicit: map[string]bool{}, parents: map[string]bool{}}
	opts := []archive.ApplyOpt{archive.WithFilter(filter.see)}
	if s.parallel {
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	}
	diffID, err := inflate(ctx, r, s.opts.MaxLayer, u.share, func(ctx context.Context, tar io.Reader) error {
		_, err := archive.Apply(ctx, u.dir, tar, opts...)
		return err
	})
	if errors.Is(err, errNoRoom) {
		err = s.noRoom(err)
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

// budget is what a pull may unpack to: never more than the disk has.
func (s *Store) budget() (*budget, error) {
	free, err := s.free()
	if err != nil {
		return nil, err
	}
	room := max(free-reserve, 0)
	return &budget{left: amount{stream: room, claimed: room, entries: s.opts.MaxEntries, names: s.opts.MaxNames}}, nil
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

// entries watches a tar's entries go by: it bounds their number, their names
// and the size that they claim, and notes which folders the tar has no entry
// for.
type entries struct {
	limit    int64 // bytes that the layer's files may still claim
	share    *share
	explicit map[string]bool
	parents  map[string]bool
	order    []string
}

func (e *entries) see(hdr *tar.Header) (bool, error) {
	// First of all, before anything walks over the names.
	if len(hdr.Name) > maxName || len(hdr.Linkname) > maxName {
		return false, fmt.Errorf("a name of more than %d bytes: %w", maxName, errTooLarge)
	}
	if strings.Count(hdr.Name, "/") > maxDepth {
		return false, fmt.Errorf("a file below more than %d folders: %w", maxDepth, errTooLarge)
	}
	if hdr.Size < 0 || hdr.Size > e.limit {
		return false, errTooLarge
	}
	e.limit -= hdr.Size
	if err := e.share.take(amount{claimed: hdr.Size, entries: 1, names: int64(len(hdr.Name) + len(hdr.Linkname))}); err != nil {
		return false, err
	}
	name := strings.Trim(path.Clean("/"+hdr.Name), "/")
	if hdr.Typeflag == tar.TypeDir {
		e.explicit[name] = true
	}
	for dir := path.Dir(name); dir != "." && !e.explicit[dir] && !e.parents[dir]; dir = path.Dir(dir) {
		if err := e.share.take(amount{entries: 1, names: int64(len(dir))}); err != nil {
			return false, err
		}
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
