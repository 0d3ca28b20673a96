package runtimesuite

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// removeGroups removes what the tests have left of their groups in any
// hierarchy. A frozen group holds processes that have long been killed: they
// end once it is thawed. What can't be removed stays, and is of no use to
// anybody but the next run.
func removeGroups() {
	tops, err := filepath.Glob("/sys/fs/cgroup/*/runc-cgroups-integration-test")
	if err != nil {
		return // the pattern is right
	}
	tops = append(tops, "/sys/fs/cgroup/runc-cgroups-integration-test")
	for _, top := range tops {
		groups := below(top)
		for _, group := range groups {
			_ = os.WriteFile(filepath.Join(group, "freezer.state"), []byte("THAWED"), 0) // version 1
			_ = os.WriteFile(filepath.Join(group, "cgroup.freeze"), []byte("0"), 0)      // version 2
		}
	}
	for _, top := range tops {
		removeTree(below(top))
	}
}

// removeTree removes groups, the innermost first, and waits a moment for their
// last processes.
func removeTree(groups []string) {
	deadline := time.Now().Add(2 * time.Second)
	for _, group := range slices.Backward(groups) {
		for os.Remove(group) != nil && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond) // the kernel tells nobody that a group is empty
		}
	}
}

// below lists a group and those in it, each after the one that it is in.
func below(top string) []string {
	var groups []string
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return nil // what has gone meanwhile needs no removing
	})
	return groups
}
