package connect

import (
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	noLimit        = ^uint64(0)
	ioprioGroup    = 2 // IOPRIO_WHO_PGRP (ioprio_set(2))
	keeperOOMScore = "-500"
)

// serviceLimits are those that systemd gives a service by default, with the
// unit's own for files and processes.
var serviceLimits = map[int]syscall.Rlimit{
	unix.RLIMIT_AS:       {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_CORE:     {Cur: 0, Max: noLimit},
	unix.RLIMIT_CPU:      {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_DATA:     {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_FSIZE:    {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_LOCKS:    {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_MEMLOCK:  {Cur: 8 << 20, Max: 8 << 20},
	unix.RLIMIT_MSGQUEUE: {Cur: 819200, Max: 819200},
	unix.RLIMIT_NICE:     {Cur: 0, Max: 0},
	unix.RLIMIT_NOFILE:   {Cur: 1 << 20, Max: 1 << 20},
	unix.RLIMIT_NPROC:    {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_RSS:      {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_RTPRIO:   {Cur: 0, Max: 0},
	unix.RLIMIT_RTTIME:   {Cur: noLimit, Max: noLimit},
	unix.RLIMIT_STACK:    {Cur: 8 << 20, Max: noLimit},
}

// leaveSession makes this process, and all that it starts, what a service would
// be: nothing of the session of whoever happened to start it matters. A user's
// umask of 077 would otherwise keep programs out of their own containers' root.
// What the host does not allow stays as it is.
func leaveSession() {
	syscall.Umask(0o022)
	_ = os.Chdir("/")
	for resource, limit := range serviceLimits {
		setLimit(resource, limit)
	}
	// All threads of this process are in its group; a priority is each thread's own.
	_ = unix.Setpriority(unix.PRIO_PGRP, 0, 0)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioGroup, 0, 0)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(keeperOOMScore), 0)
	if groups, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for _, procs := range topGroups(string(groups)) {
			_ = os.WriteFile(procs, []byte("0"), 0) // 0 is the writer
		}
	}
}

// setLimit sets a limit, as far as it may be raised.
func setLimit(resource int, limit syscall.Rlimit) {
	if syscall.Setrlimit(resource, &limit) == nil {
		return
	}
	var now syscall.Rlimit
	if syscall.Getrlimit(resource, &now) == nil {
		now.Cur = min(limit.Cur, now.Max)
		_ = syscall.Setrlimit(resource, &now)
	}
}

// topGroups returns where a process is written to that is to leave the groups
// that it is in (proc_pid_cgroup(5)): a session's are bounded, and end with it.
func topGroups(self string) (procs []string) {
	for line := range strings.Lines(self) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[2] == "/" {
			continue
		}
		hierarchy := strings.TrimPrefix(parts[1], "name=")
		if hierarchy == "" && exists("/sys/fs/cgroup/unified/cgroup.procs") {
			hierarchy = "unified"
		}
		procs = append(procs, path.Join("/sys/fs/cgroup", hierarchy, "cgroup.procs"))
	}
	return procs
}
