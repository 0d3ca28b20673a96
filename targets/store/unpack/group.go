package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Groups makes control groups with a memory limit: folders whose names begin
// with Prefix, in Parent.
type Groups struct {
	Parent string // as the runtime's groups are named: /dray
	Prefix string // of one store alone
}

const cgroupRoot = "/sys/fs/cgroup"

// group is the memory control group of a session.
type group struct {
	dir   string
	count string // the file and key that count kills for want of memory
}

// hierarchy returns where memory is limited, and the file of the limit:
// version 1's where the host has it.
func hierarchy() (top, limit, count string, err error) {
	var st unix.Statfs_t
	v1 := filepath.Join(cgroupRoot, "memory")
	if unix.Statfs(v1, &st) == nil && st.Type == unix.CGROUP_SUPER_MAGIC {
		return v1, "memory.limit_in_bytes", "memory.oom_control", nil
	}
	if unix.Statfs(cgroupRoot, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return cgroupRoot, "memory.max", "memory.events", nil
	}
	return "", "", "", errors.New("this host limits no memory")
}

func (g Groups) make(memory int64) (_ *group, err error) {
	top, limit, count, err := hierarchy()
	if err != nil {
		return nil, err
	}
	parent := filepath.Join(top, g.Parent)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("making a control group: %w", err)
	}
	if limit == "memory.max" {
		if err := delegate(top, parent); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(parent, g.Prefix)
	if err != nil {
		return nil, fmt.Errorf("making a control group: %w", err)
	}
	made := &group{dir: dir, count: count}
	if err := write(filepath.Join(made.dir, limit), strconv.FormatInt(memory, 10)); err != nil {
		return nil, errors.Join(fmt.Errorf("limiting memory: %w", err), made.remove())
	}
	// Swapping would only make it slow. Where swap is not counted there is no file.
	_ = write(filepath.Join(made.dir, "memory.swap.max"), "0")
	_ = write(filepath.Join(made.dir, "memory.memsw.limit_in_bytes"), strconv.FormatInt(memory, 10))
	return made, nil
}

// delegate has groups limit memory from top down to below dir (version 2).
func delegate(top, dir string) error {
	if dir != top {
		if err := delegate(top, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	control := filepath.Join(dir, "cgroup.subtree_control")
	text, err := os.ReadFile(control)
	if err != nil {
		return fmt.Errorf("reading what control groups limit: %w", err)
	}
	if slices.Contains(strings.Fields(string(text)), "memory") {
		return nil
	}
	if err := write(control, "+memory"); err != nil {
		return fmt.Errorf("limiting memory below %s: %w", dir, err)
	}
	return nil
}

// write is os.WriteFile for the kernel's files, which must be there.
func write(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// add moves a process into the group.
func (g *group) add(pid int) error {
	return write(filepath.Join(g.dir, "cgroup.procs"), strconv.Itoa(pid))
}

// kills returns how many processes the kernel killed at the limit.
func (g *group) kills() uint64 {
	text, err := os.ReadFile(filepath.Join(g.dir, g.count))
	if err != nil {
		return 0 // told by the signal alone, then
	}
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == "oom_kill" {
			n, _ := strconv.ParseUint(value, 10, 64) // what is no number says nothing
			return n
		}
	}
	return 0
}

func (g *group) remove() error { return ignoreMissing(os.Remove(g.dir)) }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Clear removes the groups of sessions whose process was killed.
func (g Groups) Clear() error {
	top, _, _, err := hierarchy()
	if err != nil {
		return nil // none were made
	}
	stale, err := filepath.Glob(filepath.Join(top, g.Parent, g.Prefix+"*"))
	for _, dir := range stale {
		err = errors.Join(err, ignoreMissing(os.Remove(dir)))
	}
	return err
}
