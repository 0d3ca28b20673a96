package inside

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Delegate lets the children of the v2 group dir have every controller that
// dir itself has.
func Delegate(dir string) error {
	all, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range strings.Fields(string(all)) {
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0o644)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mountCgroups binds the host's own groups over its /sys/fs/cgroup. Nothing
// new is mounted but a tmpfs to hold the mount points, as on a machine with
// v1; a v2 machine has none.
func mountCgroups(c *Config) error {
	top := filepath.Join(root(c), "sys/fs/cgroup")
	if len(c.Cgroups) == 1 && c.Cgroups[0].Name == "" {
		return bind(c.Cgroups[0].Path, top)
	}
	if err := unix.Mount("cgroup", top, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return err
	}
	for _, g := range c.Cgroups {
		at := filepath.Join(top, g.Name)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		if err := bind(g.Path, at); err != nil {
			return err
		}
	}
	return nil
}
