package connect

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Keep runs the agent, and starts it again when it dies, until ctx ends. It is
// the service manager of hosts that have none.
func Keep(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("keeping the agent: %w", err)
	}
	delay := time.Second
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, self, "agent")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = stopPatience
		started := time.Now()
		err := cmd.Run()
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > time.Minute {
			delay = time.Second
		}
		fmt.Fprintf(os.Stderr, "the agent ended (%v); it starts again in %s\n", err, delay)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, 30*time.Second)
	}
	return nil
}

// keeperOf returns the Keep process above pid, or 0.
func keeperOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	parent := parentPid(string(stat))
	if parent <= 1 {
		return 0
	}
	words, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/cmdline")
	if err != nil {
		return 0
	}
	args := strings.Split(string(words), "\x00")
	if len(args) < 2 || filepath.Base(args[0]) != "drayd" || args[1] != "keep" {
		return 0
	}
	return parent
}

// parentPid reads field 4 of /proc/PID/stat, which follows a name that may
// hold anything. Source: proc_pid_stat(5).
func parentPid(stat string) int {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}
