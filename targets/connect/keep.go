package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	firstDelay = 200 * time.Millisecond // before an agent that died starts again; doubles up to 5 s
	steady     = 10 * time.Second       // an agent that ran so long starts again after firstDelay
)

// Keep runs the agent, and starts it again when it dies, until ctx ends. It is
// the service manager of hosts that have none. Where one keeper runs, another
// returns at once.
func Keep(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("keeping the agent: %w", err)
	}
	lock, err := lockKeeper()
	if lock == nil || err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // unlocks
	leaveSession()
	log := &boundedLog{out: []*os.File{os.Stderr, os.Stdout}}
	logged := log.isCurrent(os.Stderr)
	delay := firstDelay
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, self, "agent")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = stopPatience
		started := time.Now()
		err := cmd.Run()
		if logged {
			log.follow() // the agent may have begun a new one
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > steady {
			delay = firstDelay
		}
		fmt.Fprintf(os.Stderr, "the agent ended (%v); it starts again in %s\n", err, delay)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, 5*time.Second)
	}
	return nil
}

// lockKeeper makes this process the keeper; nil means that there is one.
func lockKeeper() (*os.File, error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return nil, fmt.Errorf("keeping the agent: %w", err)
	}
	f, err := os.OpenFile(keeperFile, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keeping the agent: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // not ours
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("keeping the agent: %w", err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the agent: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// keeperPid returns the keeper's process, or 0: the number in the file counts
// as long as someone holds its lock.
func keeperPid() int {
	f, err := os.Open(keeperFile)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }() // unlocks, too
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}
