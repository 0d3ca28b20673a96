package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// removeLeftovers ends the steps that a killed server left running and undoes
// their mounts. root is the executor's folder, with a bundle for each step;
// only the lock's holder may call it.
func removeLeftovers(ctx context.Context, root, runtime string) error {
	entries, err := os.ReadDir(root)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var all error
	for _, e := range entries {
		bundle := filepath.Join(root, e.Name())
		if _, err := os.Stat(filepath.Join(bundle, "rootfs")); err == nil {
			all = errors.Join(all, removeBundle(ctx, bundle, runtime))
		}
	}
	return all
}

// removeBundle deletes a container and its bundle. The folder goes only after
// nothing is mounted in it: behind a mount are the cache's own files.
func removeBundle(ctx context.Context, bundle, runtime string) error {
	out, err := exec.CommandContext(ctx, runtime, "delete", "--force", filepath.Base(bundle)).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "does not exist") {
		return fmt.Errorf("ending a step that was left running: %w: %s", err, strings.TrimSpace(string(out)))
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(bundle))
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH); err != nil {
			return &os.PathError{Op: "unmount", Path: mounts[i].Mountpoint, Err: err}
		}
	}
	return os.RemoveAll(bundle)
}
