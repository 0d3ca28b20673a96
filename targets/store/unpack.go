package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"dray/pipeline/phrase"
	"dray/targets/store/unpack"
)

const unpackPrefix = "unpack-"

// unpacked is a layer whose files are in an active snapshot, verified but not
// yet synced nor committed.
type unpacked struct {
	key      string        // of the active snapshot
	dir      string        // its files
	implicit []string      // folders that the tar has no entry for, parents first
	share    *unpack.Share // what it took of its pull's budget
}

// unpack reads a layer into a new active snapshot over parent and verifies its
// diff id, within the bounds of its pull. On failure nothing is left.
func (s *Store) unpack(ctx context.Context, l Layer, parent digest.Digest, r io.Reader, of *unpack.Session) (_ unpacked, err error) {
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
	p := of.Start(ctx, unpack.Task{Dir: u.dir, Overlay: s.parallel})
	u.share = p.Share
	res, err := transfer(p, r)
	if err == nil && res.DiffID != l.DiffID {
		err = fmt.Errorf("it holds %s, but the image's config says %s: %w", res.DiffID, l.DiffID, errContent)
	}
	if err == nil {
		err = markOpaque(u.dir, res.Opaque)
	}
	if err != nil {
		u.share.GiveBack()
		return u, s.unpackFault(l, err)
	}
	u.implicit = res.Implicit
	return u, nil
}

// transfer gives a layer to the process that unpacks it. One whose source fails
// is not unpacked; a process that ends early says why itself.
func transfer(p *unpack.Process, r io.Reader) (unpack.Result, error) {
	w := &outgoing{w: p}
	_, err := io.Copy(w, r)
	if err != nil && !w.failed {
		p.Abort(err)
	}
	return p.Wait()
}

// outgoing tells failures to write from failures to read.
type outgoing struct {
	w      io.Writer
	failed bool
}

func (o *outgoing) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	o.failed = o.failed || err != nil
	return n, err
}

// unpackFault says what became of a layer that can't be unpacked.
func (s *Store) unpackFault(l Layer, err error) error {
	switch {
	case errors.Is(err, unpack.ErrNoRoom):
		err = s.noRoom(err)
	case errors.Is(err, unpack.ErrMemory):
		err = fmt.Errorf("%w (%s), so it was stopped; nothing of it is left. A layer with fewer files, or with shorter names, needs less: build the image again with several smaller ones", err, phrase.Size(s.opts.Memory))
	}
	return fmt.Errorf("unpacking layer %s: %w", l.Digest, s.asSpace(err))
}

// errContent says that content is not what its description promises.
var errContent = errors.New("content is not what was promised")

// session begins the unpacking of a pull: to never more than the disk has.
func (s *Store) session() (*unpack.Session, error) {
	free, err := s.free()
	if err != nil {
		return nil, err
	}
	room := max(free-reserve, 0)
	return unpack.Open(s.unpackConfig(), unpack.Amount{
		Stream: room, Claimed: room, Entries: s.opts.MaxEntries, Names: s.opts.MaxNames, Folders: maxFolders,
	}), nil
}

// maxFolders bounds the names of implicit and opaque folders, which are kept in
// memory until a pull has ended.
const maxFolders = 16 << 20

func (s *Store) unpackConfig() unpack.Config {
	return unpack.Config{
		Command: s.opts.Unpacker, Memory: s.opts.Memory, MaxLayer: s.opts.MaxLayer, Log: s.log,
		Groups: unpack.Groups{Parent: "/dray", Prefix: "unpack-" + digest.FromString(s.dir).Encoded()[:8] + "-"},
	}
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
	if err := s.removeSnapshot(context.WithoutCancel(ctx), key); err != nil {
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
