//go:build linux && cgo

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
)

// warmCgroups makes the kernel ready to move a process between cgroups of
// version 1. The first move after a pause waits for an RCU grace period (10 to
// 20 ms); those that follow at once don't. libcontainer moves the container's
// process some milliseconds after our start, so a move of our own, into the
// group that we are in already, takes that wait off its way. Version 2 does
// not need it: there the process is made in its group.
func warmCgroups() {
	if cgroups.IsCgroup2UnifiedMode() {
		return
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return // nothing depends on this
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[1] != "pids" {
			continue
		}
		path := filepath.Join("/sys/fs/cgroup/pids", fields[2], "cgroup.procs")
		_ = os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0) // as above
	}
}
