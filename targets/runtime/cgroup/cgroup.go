// Package cgroup reads what a process's control groups say: versions 1 and 2,
// and machines that mix them. It never writes; limits are the OCI runtime's.
//
// Sources: cgroups(7), the kernel's admin-guide/cgroup-v1 and cgroup-v2.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const root = "/sys/fs/cgroup"

// Controllers returns the version of this host's control groups, and which of
// cpu, memory and pids it has.
func Controllers() (version int, works []string) {
	var fs unix.Statfs_t
	if unix.Statfs(root, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		text, _ := os.ReadFile(filepath.Join(root, "cgroup.controllers")) // unreadable: none
		return 2, slices.DeleteFunc(strings.Fields(string(text)), func(c string) bool {
			return !slices.Contains(limiting, c)
		})
	}
	for _, name := range limiting {
		if unix.Statfs(filepath.Join(root, name), &fs) == nil && fs.Type == unix.CGROUP_SUPER_MAGIC {
			works = append(works, name)
		}
	}
	return 1, works
}

var limiting = []string{"cpu", "memory", "pids"}

// A Group is the control group of a container: one folder on version 2, one
// for each controller on version 1.
type Group struct {
	unified string            // v2
	folders map[string]string // v1, by controller
}

// Of returns the group of a process.
func Of(pid int) (Group, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return Group{}, fmt.Errorf("finding the cgroup: %w", err)
	}
	return parse(string(data), root), nil
}

// parse reads /proc/PID/cgroup: lines of "ID:CONTROLLERS:PATH". Version 2 has
// the id 0 and no controllers; its memory controller counts only where
// version 1 does not have it.
func parse(data, root string) Group {
	g := Group{folders: map[string]string{}}
	for line := range strings.Lines(data) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if fields[0] == "0" && fields[1] == "" {
			g.unified = filepath.Join(root, fields[2])
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			g.folders[controller] = filepath.Join(root, controller, fields[2])
		}
	}
	if g.folders["memory"] != "" {
		g.unified = ""
	}
	return g
}

// V2 says whether the group is one of version 2.
func (g Group) V2() bool { return g.unified != "" }

// OOMKills returns how many processes the kernel killed for want of memory.
func (g Group) OOMKills() (uint64, error) {
	if g.V2() {
		return readKey(filepath.Join(g.unified, "memory.events"), "oom_kill")
	}
	return readKey(filepath.Join(g.folders["memory"], "memory.oom_control"), "oom_kill")
}

// readKey reads one number of a file of "KEY NUMBER" lines.
func readKey(path, key string) (uint64, error) {
	all, err := readKeys(path)
	if err != nil {
		return 0, err
	}
	return all[key], nil
}

func readKeys(path string) (map[string]uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			all[key] = n
		}
	}
	return all, nil
}

// readNumber reads a file of one number; "max" is 0.
func readNumber(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(data))
	if text == "max" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// Remove removes the empty groups of a path, as a cgroupsPath names them, that
// an OCI runtime left behind because it was killed.
func Remove(path string) error {
	var failed error
	for _, pattern := range []string{root + path, root + "/*" + path} {
		found, err := filepath.Glob(pattern)
		failed = errors.Join(failed, err)
		for _, dir := range found {
			if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				failed = errors.Join(failed, fmt.Errorf("removing a cgroup: %w", err))
			}
		}
	}
	return failed
}
