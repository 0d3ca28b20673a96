package connect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StartAgent starts the agent through the service manager where dray is a
// service of one, and otherwise as a daemon of its own. It does not wait until
// the agent answers.
func StartAgent(ctx context.Context) error {
	if s := detectService(); s.start != nil && s.isInstalled() {
		return s.start(ctx)
	}
	return startDetached()
}

// startDetached starts the agent under Keep, in a session of its own.
func startDetached() error {
	program := filepath.Join(currentLink, "drayd")
	if _, err := os.Stat(program); err != nil {
		self, selfErr := os.Executable()
		if selfErr != nil {
			return fmt.Errorf("finding drayd: %w", errors.Join(err, selfErr))
		}
		program = self // not installed: a lab, or a trial by hand
	}
	log, err := openLog()
	if err != nil {
		return fmt.Errorf("opening the agent's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the agent has its own
	// The shell ends at once, so that init inherits the keeper and reaps it.
	cmd := exec.Command("/bin/sh", "-c", `"$0" keep </dev/null &`, program)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + agentPath}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("starting %s: %w", program, err)
	}
	return nil
}

func agentAnswers() bool {
	conn, err := dialAgent()
	if err != nil {
		return false
	}
	_ = conn.Close() // it was only a question
	return true
}

// waitForAgent returns when the agent answers, or with its last words.
func waitForAgent(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !agentAnswers() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agent does not answer on %s: %w%s", agentSocket, context.Cause(ctx), lastWords())
		case <-tick.C:
		}
	}
	return nil
}

// lastWords returns the last lines of the agent's log, for a message.
func lastWords() string {
	f, err := os.Open(agentLog)
	if err != nil {
		if detectService().name == "systemd" {
			return "; look at: journalctl -u dray -n 50"
		}
		return ""
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err == nil && info.Size() > 4096 {
		_, _ = f.Seek(-4096, io.SeekEnd) // at worst the first lines are shown
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	return "; its last words:\n  " + strings.Join(lines[max(0, len(lines)-5):], "\n  ")
}

// EnsureAgent returns when an agent answers, and starts one where it must.
func EnsureAgent(ctx context.Context) error {
	if agentAnswers() {
		return nil
	}
	if err := StartAgent(ctx); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	return waitForAgent(waiting)
}

// stopPatience is how long an agent may take to end; its keeper waits as long for
// it, and so gets more.
const (
	stopPatience   = 15 * time.Second
	keeperPatience = stopPatience + 5*time.Second
)

// StopAgent ends the agent's process, and its keeper's: containers stay. A
// service manager starts another one.
func StopAgent(ctx context.Context) error {
	if keeper := keeperPid(); keeper != 0 {
		if err := end(ctx, keeper, keeperPatience, func() bool { return keeperPid() == keeper }); err != nil {
			return err
		}
	}
	pid, err := agentPid()
	if err != nil || pid == 0 {
		return err
	}
	return end(ctx, pid, stopPatience, func() bool { again, err := agentPid(); return err == nil && again == pid })
}

// end asks a process to end, and makes it when it takes too long. Once there is a handle of the
// process, still tells whether it is the one that is meant: a number may be
// another's by then.
func end(ctx context.Context, pid int, patience time.Duration, still func() bool) error {
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stopping the agent (pid %d): %w", pid, err)
	}
	defer func() { _ = unix.Close(process) }() // only a handle
	if !still() {
		return nil
	}
	if err := unix.PidfdSendSignal(process, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stopping the agent (pid %d): %w", pid, err)
	}
	if ended(ctx, process, patience) {
		return nil
	}
	if err := unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stopping the agent (pid %d): %w", pid, err)
	}
	if !ended(ctx, process, stopPatience) {
		return fmt.Errorf("stopping the agent: process %d does not end", pid)
	}
	return nil
}

// ended waits for the end of a process. Source: pidfd_open(2).
func ended(ctx context.Context, pidfd int, patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 100)
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
	return false
}

// agentPid returns the process that listens on the agent's socket, or 0.
// Source: unix(7), SO_PEERCRED.
func agentPid() (int, error) {
	conn, err := dialAgent()
	if err != nil {
		return 0, nil //nolint:nilerr // nobody listens
	}
	defer func() { _ = conn.Close() }() // it was only a question
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("finding the agent's process: %w", err)
	}
	var credentials *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		credentials, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("finding the agent's process: %w", err)
	}
	return int(credentials.Pid), nil
}
