package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process names one process for good: a pid alone may be given again.
type process struct {
	PID   int    `json:",omitempty"`
	Start uint64 `json:",omitempty"` // clock ticks after the machine's boot (proc_pid_stat(5), field 22)
}

// Process is one process of a host.
type Process struct {
	PID     int    // on the machine
	HostPID int    // in the host
	Command string // the command line, words joined by blanks; the name in brackets if it has none
}

func processOf(pid int) (process, error) {
	state, start, err := stat(pid)
	if err != nil {
		return process{}, err
	}
	if state == 'Z' || state == 'X' {
		return process{}, fmt.Errorf("process %d is dead", pid)
	}
	return process{pid, start}, nil
}

// stat reads a process's state and start time.
func stat(pid int) (state byte, start uint64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, ok := strings.Cut(string(text[max(bytes.LastIndexByte(text, ')'), 0):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, 0, fmt.Errorf("reading /proc/%d/stat: %q", pid, text)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0][0], start, err
}

func (p process) alive() bool {
	if p.PID == 0 {
		return false
	}
	now, err := processOf(p.PID)
	return err == nil && now == p
}

// kill ends the process and waits until it is gone, and, for a process 1,
// with it all of its namespace. One that is gone already is no error.
func (p process) kill(ctx context.Context) error {
	if p.PID == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if _, start, err := stat(p.PID); err != nil || start != p.Start {
		return nil // the pid is another's by now
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing process %d: %w", p.PID, err)
	}
	for ctx.Err() == nil {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for process %d: %w", p.PID, err)
		}
		if n > 0 {
			return nil
		}
	}
	return context.Cause(ctx)
}

// Processes lists the processes in the host's pid namespace.
func (h *Host) Processes() ([]Process, error) {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.state.Init.PID))
	if err != nil {
		return nil, fmt.Errorf("host %s is down: %w", h.Name, err)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, dir := range dirs {
		if ns, err := os.Readlink(dir + "/ns/pid"); err != nil || ns != own {
			continue // another's, or gone
		}
		if p, ok := readProcess(dir); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

// readProcess reads one process's folder; false if it is gone or a zombie.
func readProcess(dir string) (p Process, ok bool) {
	p.PID, _ = strconv.Atoi(filepath.Base(dir))
	if _, err := processOf(p.PID); err != nil {
		return p, false
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return p, false
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch {
		case len(fields) == 0:
		case key == "Name":
			p.Command = "[" + fields[0] + "]"
		case key == "NSpid":
			p.HostPID, _ = strconv.Atoi(fields[len(fields)-1])
		}
	}
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
		p.Command = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	}
	return p, true
}

// until waits for a condition, asking again after a while that grows from a
// millisecond to a twentieth of a second.
func until(ctx context.Context, what string, met func() (bool, error)) error {
	pause := time.Millisecond
	for {
		ok, err := met()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		case <-time.After(pause):
			pause = min(pause*3/2+time.Millisecond, 50*time.Millisecond)
		}
	}
}
