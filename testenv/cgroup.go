package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dray/testenv/inside"
)

// The machine's hierarchies are used as they are mounted; a lab only makes
// and removes groups of its own in them.

const cgroupTop = "/sys/fs/cgroup"

// hierarchy is one cgroup file system of the machine.
type hierarchy struct {
	name string // folder below /sys/fs/cgroup; empty on a machine with v2 alone
	v2   bool
}

func (h hierarchy) path(group string) string { return filepath.Join(cgroupTop, h.name, group) }

// hierarchies finds what is mounted at or below /sys/fs/cgroup.
func hierarchies() ([]hierarchy, error) {
	if isType(cgroupTop, unix.CGROUP2_SUPER_MAGIC) {
		return []hierarchy{{"", true}}, nil
	}
	entries, err := os.ReadDir(cgroupTop)
	if err != nil {
		return nil, fmt.Errorf("looking for cgroups: %w", err)
	}
	var found []hierarchy
	for _, e := range entries {
		path := filepath.Join(cgroupTop, e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0: // cpu → cpu,cpuacct: the same group again
		case isType(path, unix.CGROUP_SUPER_MAGIC):
			found = append(found, hierarchy{e.Name(), false})
		case isType(path, unix.CGROUP2_SUPER_MAGIC):
			found = append(found, hierarchy{e.Name(), true})
		}
	}
	if len(found) == 0 {
		return nil, errors.New("this machine has no cgroups under " + cgroupTop)
	}
	return found, nil
}

func isType(path string, magic int64) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && int64(s.Type) == magic //nolint:unconvert // it is an int32 elsewhere
}

func labGroup(lab string) string { return "dray-lab-" + lab }

// makeCgroups makes a lab's groups, in which those of its hosts will be.
func makeCgroups(lab string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		if err := makeGroup(h, labGroup(lab)); err != nil {
			return err
		}
	}
	return nil
}

// makeGroup makes one group that processes can join: a new v1 cpuset has no
// processors until it is told (cpuset(7)), and a v2 group has the controllers
// that its parent gives. The machine's own top group is made to give them only
// where there is no v1 hierarchy, which has them otherwise.
func makeGroup(h hierarchy, group string) error {
	dir := h.path(group)
	if parent := filepath.Dir(dir); h.v2 && (h.name == "" || parent != h.path("")) {
		if err := inside.Delegate(parent); err != nil {
			return fmt.Errorf("delegating controllers: %w", err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if h.v2 {
		return nil
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // not the cpuset hierarchy
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// makeCgroups makes the host's groups and says where they are to be bound. A
// host with systemd sees the v2 hierarchy alone, as a current one does.
func (h *Host) makeCgroups() ([]inside.Cgroup, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var groups []inside.Cgroup
	for _, hier := range all {
		if err := makeGroup(hier, h.group()); err != nil {
			return nil, fmt.Errorf("making the host's cgroup: %w", err)
		}
		g := inside.Cgroup{Name: hier.name, Path: hier.path(h.group()), V2: hier.v2}
		if h.lab.state.Init != Systemd {
			groups = append(groups, g)
		} else if g.V2 {
			groups = append(groups, inside.Cgroup{Path: g.Path, V2: true})
		}
	}
	return groups, nil
}

func (h *Host) group() string { return filepath.Join(labGroup(h.lab.Name), h.Name) }

// joinCgroups puts a process into the host's group in every hierarchy.
func (h *Host) joinCgroups(pid int) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hier := range all {
		procs := filepath.Join(hier.path(h.group()), "cgroup.procs")
		if err := os.WriteFile(procs, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("joining the host's cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroups removes a group and all below it in every hierarchy, and ends
// what is still in it: commands that came from outside, with Exec.
func removeCgroups(ctx context.Context, group string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range all {
		if dir := h.path(group); strings.Contains(dir, "/dray-lab-") {
			errs = append(errs, removeTree(ctx, dir))
		}
	}
	return errors.Join(errs...)
}

func removeTree(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(ctx, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return until(ctx, "group "+dir+" is free", func() (bool, error) {
		err := unix.Rmdir(dir)
		if errors.Is(err, unix.EBUSY) { // what was killed may take a moment, too
			return false, killGroup(dir)
		}
		if errors.Is(err, unix.ENOENT) {
			err = nil
		}
		return true, err
	})
}

// killGroup kills the processes in a group.
func killGroup(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, line := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(line)
		if err != nil || pid <= 0 {
			return fmt.Errorf("%s/cgroup.procs holds %q", dir, line)
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("killing process %d: %w", pid, err)
		}
	}
	return nil
}
