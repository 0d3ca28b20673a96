// Package snapshot opens containerd's snapshotters, which keep the layers of
// the build cache and those of a host's images, so that one whose process was
// killed at any point works again.
package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
)

// Overlay opens the overlay snapshotter at root, which nobody else has open.
func Overlay(ctx context.Context, root string, opts ...overlay.Opt) (snapshots.Snapshotter, error) {
	if err := removeUnrecorded(ctx, root); err != nil {
		return nil, err
	}
	return overlay.NewSnapshotter(root, opts...)
}

// Native opens the snapshotter at root that copies, which nobody else has open.
func Native(ctx context.Context, root string) (snapshots.Snapshotter, error) {
	if err := removeUnrecorded(ctx, root); err != nil {
		return nil, err
	}
	return native.NewSnapshotter(root)
}

// removeUnrecorded removes the folders of snapshots that a snapshotter at root
// knows nothing of. Both snapshotters make a folder before they record it, and
// give the number of one that they did not come to record to the next, which
// then can't be made: that of a process that was killed in between would be in
// the way for good.
func removeUnrecorded(ctx context.Context, root string) (err error) {
	folders, err := os.ReadDir(filepath.Join(root, "snapshots"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	meta, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, meta.Close()) }()
	var recorded map[string]string // by folder
	err = meta.WithTransaction(ctx, false, func(ctx context.Context) (err error) {
		recorded, err = storage.IDMap(ctx)
		return err
	})
	if err != nil && !errdefs.IsNotFound(err) { // none was ever recorded
		return err
	}
	for _, f := range folders {
		if _, known := recorded[f.Name()]; known {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, "snapshots", f.Name())); err != nil {
			return err
		}
	}
	return nil
}
