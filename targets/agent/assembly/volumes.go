package assembly

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"

	"dray/targets/agent"
	"dray/targets/runtime"
	"dray/targets/store"
	"dray/targets/volume"
)

// volumes is the host's volumes as the agent needs them.
type volumes struct {
	*volume.Store
	images  *store.Store
	run     string
	filling *sync.Mutex // several instances may ask for one volume at a time
}

var _ agent.Volumes = volumes{}

// Fill implements agent.Volumes.
func (v volumes) Fill(ctx context.Context, network, name, image, destination string) (err error) {
	path, err := v.Ensure(ctx, network, name)
	if err != nil {
		return err
	}
	v.filling.Lock()
	defer v.filling.Unlock()
	if entries, err := os.ReadDir(path); err != nil || len(entries) > 0 {
		return err
	}
	place := fill{key: fillPrefix + network + "/" + name, dir: filepath.Join(v.run, fillDir, network, name)}
	if err := place.clear(ctx, v.images); err != nil { // one that was cut off
		return err
	}
	root, err := v.images.Mount(ctx, place.key, digest.Digest(image), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.clear(context.WithoutCancel(ctx), v.images)) }()
	if err := os.MkdirAll(place.dir, 0o700); err != nil {
		return err
	}
	if err := mount.All(root, place.dir); err != nil {
		return fmt.Errorf("mounting image %s: %w", image, err)
	}
	return v.Populate(ctx, network, name, place.dir, destination)
}

// fillPrefix begins the names under which the store knows images that volumes
// are filled from; fillDir is where those are mounted, in the run folder.
const (
	fillPrefix = "fill."
	fillDir    = "fill"
)

// fill is an image that a volume is filled from.
type fill struct{ key, dir string }

// clear lets go of the image. There may be nothing of it.
func (f fill) clear(ctx context.Context, images *store.Store) error {
	if err := mount.UnmountAll(f.dir, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unmounting %s: %w", f.dir, err)
	}
	if err := os.Remove(f.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return images.Remove(ctx, f.key)
}

// clearFills lets go of the images from which volumes were being filled when the
// agent or the host ended: they would keep the image for ever, and be in the way
// of the next one.
func clearFills(ctx context.Context, images *store.Store, run string) error {
	ids, err := images.Containers(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if rest, ok := strings.CutPrefix(id, fillPrefix); ok {
			err = errors.Join(err, fill{key: id, dir: filepath.Join(run, fillDir, rest)}.clear(ctx, images))
		}
	}
	return err
}

// users returns a function that names the containers that have a path mounted.
func users(engine *runtime.Engine) func(path string) []string {
	return func(path string) (names []string) {
		for _, c := range engine.List() {
			for _, m := range c.Spec.Mounts {
				if m.Source == path {
					names = append(names, c.Spec.Name)
				}
			}
		}
		return names
	}
}
