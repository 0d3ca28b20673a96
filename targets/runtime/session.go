package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dray/targets/runtime/cgroup"
)

// sessionRounds bounds how often endSession looks for what was forked meanwhile.
const sessionRounds = 10

// endSession kills what a command has left in its container: the processes of
// the session that it led. The number of a session is not given away while a
// process is in it, and only the container's own processes are looked at, so no
// other one is hit. What made a session of its own, as a daemon does, stays.
func (e *Engine) endSession(containerID string, leader int) error {
	if leader <= 0 {
		return nil // it never began
	}
	c, err := e.find(containerID)
	if err != nil {
		return nil //nolint:nilerr // the container is gone, and all that ran in it
	}
	value := c.snapshot()
	if !value.running() || value.Pid == leader {
		return nil
	}
	group, err := cgroup.Of(value.Pid)
	if err != nil {
		return unlessEnded(err)
	}
	for range sessionRounds {
		pids, err := group.Pids()
		if err != nil {
			return unlessEnded(err)
		}
		found := false
		for _, pid := range pids {
			found = killMember(pid, leader) || found
		}
		if !found {
			return nil
		}
	}
	return fmt.Errorf("session %d goes on forking", leader)
}

// killMember kills a process if it is of that session.
func killMember(pid, session int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if of, err := sessionOf(pid); err != nil || of != session { // of the process that fd holds, or it has ended
		return false
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

// sessionOf reads field 6 of /proc/PID/stat; 0 is a process that has ended.
func sessionOf(pid int) (int, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const index = 6 - 3
	if len(fields) <= index || fields[0] == "Z" || fields[0] == "X" {
		return 0, nil
	}
	return strconv.Atoi(fields[index])
}

func unlessEnded(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// pidsFault explains why nothing can be started in a container that has as many
// processes as it may have: the OCI runtime only says that its own did not come
// up.
func (e *Engine) pidsFault(c Container, cause error) error {
	group, err := cgroup.Of(c.Pid)
	if err != nil {
		return cause
	}
	stats, err := group.Stats()
	// The runtime's own threads need room too, and are counted while it tries.
	const room = 8
	if err != nil || stats.PidsLimit == 0 || stats.Pids+room < stats.PidsLimit {
		return cause
	}
	return fmt.Errorf("it has %d of %d processes that it may have (pids in its resources block), so nothing more can be started in it: %w", stats.Pids, stats.PidsLimit, cause)
}
