package assembly

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	key := "fill." + network + "/" + name
	root, err := v.images.Mount(ctx, key, digest.Digest(image), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.images.Remove(context.WithoutCancel(ctx), key)) }()
	dir := filepath.Join(v.run, "fill", network, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := mount.All(root, dir); err != nil {
		return fmt.Errorf("mounting image %s: %w", image, err)
	}
	err = v.Populate(ctx, network, name, dir, destination)
	return errors.Join(err, mount.UnmountAll(dir, 0), os.Remove(dir))
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
