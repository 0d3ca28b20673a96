package buildkit

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// removeCgroups removes the groups that steps ran in, in every hierarchy (v1
// and v2). The runtime removes a step's own group; those above it stay. A
// group that is in use, by another user's builder, stays as well.
func removeCgroups(parent string) error {
	var all error
	for _, root := range cgroupHierarchies() {
		for _, dir := range []string{filepath.Join(root, parent, "buildkit"), filepath.Join(root, parent)} {
			err := unix.Rmdir(dir)
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
				all = errors.Join(all, &os.PathError{Op: "rmdir", Path: dir, Err: err})
			}
		}
	}
	return all
}

// cgroupHierarchies returns the mounted hierarchies: one on v2, one a
// controller on v1.
func cgroupHierarchies() []string {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil
	}
	var roots []string
	for _, e := range entries {
		if e.IsDir() {
			roots = append(roots, filepath.Join(cgroupRoot, e.Name()))
		}
	}
	return roots
}
