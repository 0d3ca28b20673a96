package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/errdefs"

	"dray/builder/registry"
	"dray/builder/registry/snapshot"
	"dray/targets/store/unpack"
)

// Names of snapshotters.
const (
	Overlay = "overlay"
	Native  = "native" // copies a layer whole for each one above it: slow and large, but works on any file system
)

// Options of a Store; the zero value is good.
type Options struct {
	Snapshotter string        // Overlay or Native; empty is overlay where it works
	Parallel    int           // layers fetched and unpacked at once; 0 is 4
	MaxLayer    int64         // bytes that one layer may unpack to; 0 is 64 GiB
	MaxEntries  int64         // files that the layers of one pull may hold together; 0 is 2 million
	MaxNames    int64         // bytes of their names; 0 is 64 MiB
	Grace       time.Duration // how long GC spares an image that nothing retains yet; 0 is 10 minutes
	Memory      int64         // bytes of memory that unpacking one pull's layers may take; 0 is 512 MiB, at most half of the host's
	Unpacker    []string      // the command that unpacks a layer: its process calls unpack.Main; empty is this program's "unpack"
	DropLayers  bool          // remove compressed layers once they are unpacked; see the package comment
	Log         *slog.Logger  // nil discards
}

// Store is a host's images. One process opens a folder at a time.
type Store struct {
	dir      string
	opts     Options
	log      *slog.Logger
	content  content.Store
	snap     snapshots.Snapshotter
	parallel bool // layers may be unpacked beside each other
	index    *index
	pins     pins
	images   keyedLock // by image digest
	chains   keyedLock // by chain id; taken from the bottom up
	blobs    keyedLock // by blob digest; nothing else is waited for while held
}

// Open opens the store in dir, which is made if it is missing, and clears away
// what an interrupted pull left. It fails if another process has it open.
func Open(dir string, opts Options) (_ *Store, err error) {
	s := &Store{dir: dir, opts: opts.withDefaults()}
	s.log = s.opts.Log
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	if s.index, err = openIndex(filepath.Join(dir, "store.db")); err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.content, err = contentlocal.NewStore(filepath.Join(dir, "content")); err != nil {
		return nil, fmt.Errorf("opening the store's content: %w", err)
	}
	if err := s.openSnapshotter(context.Background()); err != nil {
		return nil, fmt.Errorf("opening the store's snapshots: %w", err)
	}
	if err := s.recover(context.Background()); err != nil {
		return nil, fmt.Errorf("clearing up after an interrupted pull: %w", err)
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.MaxLayer <= 0 {
		o.MaxLayer = 64 << 30
	}
	if o.MaxEntries <= 0 {
		o.MaxEntries = 2_000_000
	}
	if o.MaxNames <= 0 {
		o.MaxNames = 64 << 20
	}
	if o.Memory <= 0 {
		o.Memory = unpack.DefaultMemory()
	}
	if len(o.Unpacker) == 0 {
		o.Unpacker = []string{"/proc/self/exe", "unpack"}
	}
	if o.Grace <= 0 {
		o.Grace = 10 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (s *Store) openSnapshotter(ctx context.Context) (err error) {
	kind := s.opts.Snapshotter
	if kind == "" {
		kind = Overlay
		if err := overlayutils.Supported(filepath.Join(s.dir, Overlay)); err != nil {
			s.log.Warn("overlay does not work here; layers will be copied", "dir", s.dir, "error", err)
			kind = Native
		}
	}
	if kind != Overlay && kind != Native {
		return fmt.Errorf("snapshotter %q is not known: %w", kind, errdefs.ErrInvalidArgument)
	}
	root := filepath.Join(s.dir, kind)
	if kind == Overlay {
		s.parallel = true
		s.snap, err = snapshot.Overlay(ctx, root, overlay.WithUpperdirLabel, overlay.AsynchronousRemove)
	} else {
		s.snap, err = snapshot.Native(ctx, root)
	}
	return err
}

// recover removes snapshots that were being unpacked when the process ended.
// Downloads stay, to be resumed.
func (s *Store) recover(ctx context.Context) error {
	var stale []string
	err := s.snap.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if strings.HasPrefix(info.Name, unpackPrefix) {
			stale = append(stale, info.Name)
		}
		return nil
	})
	if err != nil && !errdefs.IsNotFound(err) { // none was ever recorded
		return err
	}
	for _, key := range stale {
		if err := s.removeSnapshot(ctx, key); err != nil {
			return err
		}
	}
	if err := s.unpackConfig().Groups.Clear(); err != nil {
		s.log.Warn("control groups of an interrupted pull remain", "error", err)
	}
	return nil
}

// removeSnapshot removes a snapshot, its record and its files. One that is not
// there is removed.
func (s *Store) removeSnapshot(ctx context.Context, key string) error {
	if err := ignoreMissing(s.snap.Remove(ctx, key)); err != nil {
		return err
	}
	return s.removeFiles(ctx)
}

// removeFiles removes the files of snapshots without a record. The overlay
// snapshotter leaves them when it removes a record, since that is quick and
// files are not; the one that copies removes both at once.
func (s *Store) removeFiles(ctx context.Context) error {
	if cleaner, ok := s.snap.(snapshots.Cleaner); ok {
		return ignoreMissing(cleaner.Cleanup(context.WithoutCancel(ctx))) // missing: none was ever recorded
	}
	return nil
}

// Close gives the folder back. Pulls must have ended.
func (s *Store) Close() error {
	var errs []error
	if s.snap != nil {
		errs = append(errs, s.snap.Close())
	}
	return errors.Join(append(errs, s.index.close())...)
}

// Content is what was pulled, by digest.
func (s *Store) Content() content.Store { return s.content }

// Source is the store's content as a registry.Source, to serve to others.
func (s *Store) Source() registry.Source { return registry.Local(s.content) }
