package shim

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// A reaper takes the status of every child: those that it started, and those
// that were re-parented to this process, a subreaper (prctl(2)).
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan unix.WaitStatus
	orphans map[int]unix.WaitStatus // ended before anybody asked; nil once that can't matter
	signals chan os.Signal
}

func newReaper() *reaper {
	r := &reaper{
		waiting: map[int]chan unix.WaitStatus{},
		orphans: map[int]unix.WaitStatus{},
		signals: make(chan os.Signal, 32),
	}
	signal.Notify(r.signals, unix.SIGCHLD)
	return r
}

// run reaps until the process ends.
func (r *reaper) run() {
	for range r.signals {
		r.reap()
	}
}

func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if c, ok := r.waiting[pid]; ok {
			delete(r.waiting, pid)
			c <- status
		} else if r.orphans != nil {
			r.orphans[pid] = status
		}
	}
}

// start starts a process and returns where its status will come.
func (r *reaper) start(argv []string, attr *os.ProcAttr) (<-chan unix.WaitStatus, error) {
	r.mu.Lock() // no status may be taken before it is waited for
	defer r.mu.Unlock()
	process, err := os.StartProcess(argv[0], argv, attr)
	if err != nil {
		return nil, err
	}
	c := make(chan unix.WaitStatus, 1)
	r.waiting[process.Pid] = c
	return c, process.Release()
}

// adopt returns where the status of pid, an orphan, will come. After it, the
// status of others is dropped.
func (r *reaper) adopt(pid int) <-chan unix.WaitStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan unix.WaitStatus, 1)
	if status, ended := r.orphans[pid]; ended {
		c <- status
	} else {
		r.waiting[pid] = c
	}
	r.orphans = nil
	return c
}

// exitCode is the shell's convention: 128+n after signal n.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
