package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dray/targets/runtime/cgroup"
	"dray/targets/runtime/shim"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// clearProcess removes everything that a container's process had, and ends
// the process if there still is one. It can be repeated.
func (e *Engine) clearProcess(ctx context.Context, id string) error {
	dir := e.runDir(id)
	e.releaseLabel(id)
	conn, noShim := shim.Watch(dir)
	var failed error
	if t := e.toolOf(id); t.knows(id) {
		_, failed = e.oci(ctx, t, nil, "delete", "--force", id)
	}
	if noShim == nil { // its last act is to write in the folders that go now
		_ = conn.SetReadDeadline(time.Now().Add(killTime))
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	for _, path := range []string{e.rootfs(id), filepath.Join(dir, secretsDir), filepath.Join(dir, etcDir)} {
		err := mount.UnmountAll(path, unix.MNT_DETACH)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EINVAL) {
			failed = errors.Join(failed, fmt.Errorf("unmounting %s: %w", path, err))
		}
	}
	if failed != nil {
		return failed // never remove what may still be mounted
	}
	return os.RemoveAll(dir)
}

// discard removes a container entirely. The caller holds it.
func (e *Engine) discard(ctx context.Context, c *container) error {
	value := c.snapshot()
	spec := value.Spec
	failed := e.clearProcess(ctx, c.id)
	if spec.Network != "" || value.State == Broken && e.Networks != nil { // of a broken one it may not be known
		if err := e.Networks.Detach(ctx, spec.Network, c.id); err != nil {
			failed = errors.Join(failed, fmt.Errorf("leaving network %s: %w", spec.Network, err))
		}
	}
	if err := e.Images.Remove(ctx, c.id); err != nil {
		failed = errors.Join(failed, fmt.Errorf("removing the writable layer: %w", err))
	}
	if failed != nil {
		return failed
	}
	if err := cgroup.Remove(filepath.Join(e.CgroupParent, c.id)); err != nil {
		e.Log.Warn("a cgroup remains", "container", c.id, "error", err) // empty, or about to be
	}
	if err := os.RemoveAll(e.stateDir(c.id)); err != nil {
		return err
	}
	c.process.close()
	e.mu.Lock()
	delete(e.containers, c.id)
	if e.names[spec.Name] == c.id {
		delete(e.names, spec.Name)
	}
	e.mu.Unlock()
	c.set(func(v *Container) { v.State, v.Pid, v.Wanted = Exited, 0, false })
	c.mu.Lock()
	c.removed = true
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	return nil
}
