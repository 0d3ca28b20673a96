//go:build linux && cgo

package main

import (
	"os"
	"os/signal"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/system"
	"github.com/opencontainers/runc/libcontainer/utils"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// A watcher passes signals on to a process and notices its end.
type watcher struct {
	signals chan os.Signal
}

// watch begins before the process is made, so that its end can't be missed.
// For a container's first process it adopts the orphans below it: without a
// pid namespace of its own, a container leaves some.
func watch(adopt bool) *watcher {
	if adopt {
		if err := system.SetSubreaper(1); err != nil {
			logrus.Warn(err)
		}
	}
	w := &watcher{signals: make(chan os.Signal, 2048)}
	signal.Notify(w.signals, unix.SIGCHLD, unix.SIGWINCH, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT,
		unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGALRM, unix.SIGTSTP,
		unix.SIGTTIN, unix.SIGTTOU, unix.SIGIO, unix.SIGPWR)
	return w
}

// wait returns the exit code of process: 128+n after signal n.
func (w *watcher) wait(process *libcontainer.Process, io *stdio) (int, error) {
	pid, err := process.Pid()
	if err != nil {
		return 1, err
	}
	for s := range w.signals {
		switch s {
		case unix.SIGWINCH:
			io.resize()
		case unix.SIGCHLD:
			code, ended, err := reap(pid)
			if err != nil {
				return 1, err
			}
			if ended {
				_, _ = process.Wait() // its status is taken; this frees what belongs to it
				return code, nil
			}
		default:
			if err := process.Signal(s); err != nil {
				logrus.Error(err)
			}
		}
	}
	return 1, nil
}

// reap takes the status of every child that ended and says whether pid was
// one.
func reap(pid int) (code int, ended bool, err error) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err == unix.ECHILD || err == nil && got <= 0:
			return code, ended, nil
		case err != nil:
			return 0, false, err
		case got == pid:
			code, ended = utils.ExitStatus(status), true
		}
	}
}
