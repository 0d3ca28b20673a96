//go:build linux && cgo

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/moby/sys/signal"
	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"
)

// load returns the container that a call names.
func load(c call) (*libcontainer.Container, error) {
	return libcontainer.Load(c.root(), c.args[0])
}

// start lets a created container's process go.
func start(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	status, err := container.Status()
	if err != nil {
		return 1, err
	}
	switch status {
	case libcontainer.Created:
		return 0, container.Exec()
	case libcontainer.Stopped:
		return 1, errors.New("cannot start a container that has stopped")
	case libcontainer.Running:
		return 1, errors.New("cannot start an already running container")
	default:
		return 1, fmt.Errorf("cannot start a container in the %s state", status)
	}
}

// kill signals a container's first process; SIGTERM by default.
func kill(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	name := "SIGTERM"
	if len(c.args) > 1 && c.args[1] != "" {
		name = c.args[1]
	}
	number, err := parseSignal(name)
	if err != nil {
		return 1, err
	}
	err = container.Signal(number)
	if errors.Is(err, libcontainer.ErrNotRunning) && c.has("all") {
		err = nil
	}
	return 0, err
}

// parseSignal reads "9", "KILL" or "SIGKILL"; "0" asks only whether there is a
// process to signal.
func parseSignal(name string) (unix.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return unix.Signal(n), nil
	}
	return signal.ParseSignal(name)
}

// remove deletes what is left of a container that has ended, or was never
// started. With --force it ends a running one, and one that does not exist is
// no error.
func remove(c call) (int, error) {
	force := c.has("force")
	container, err := load(c)
	if errors.Is(err, libcontainer.ErrNotExist) {
		// An interrupted create leaves a folder without a state file.
		if undo := os.RemoveAll(filepath.Join(c.root(), filepath.Base(c.args[0]))); undo != nil {
			return 1, undo
		}
		if force {
			return 0, nil
		}
	}
	if err != nil {
		return 1, err
	}
	status, err := container.Status()
	switch {
	case err != nil:
		return 1, err
	case force || status == libcontainer.Created:
		return 0, end(container)
	case status == libcontainer.Stopped:
		return 0, container.Destroy()
	default:
		return 1, fmt.Errorf("cannot delete container %s that is not stopped: %s", c.args[0], status)
	}
}

// end kills a container's processes and deletes it once they are gone.
func end(container *libcontainer.Container) error {
	state, err := container.State()
	if err != nil {
		return err
	}
	pidfd, openErr := unix.PidfdOpen(state.InitProcessPid, 0)
	if openErr == nil {
		defer unix.Close(pidfd)
	}
	_ = container.Signal(unix.SIGKILL) // it may be gone already
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if container.Signal(unix.Signal(0)) != nil {
			return container.Destroy()
		}
		if openErr == nil {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 1000)
		}
		// A zombie answers the signal until its parent has reaped it; one
		// without a pidfd is looked at again and again.
		time.Sleep(time.Millisecond)
	}
	return errors.New("container init still running")
}

// pause freezes a container's processes.
func pause(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	return 0, container.Pause()
}

// resume lets them go on.
func resume(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	return 0, container.Resume()
}
