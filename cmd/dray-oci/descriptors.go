//go:build linux && cgo

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"
)

// handOver gives process the descriptors that are meant for it: first the
// listening sockets of socket activation, then those of --preserve-fds.
func (l *launch) handOver(process *libcontainer.Process) error {
	sockets := 0
	if l.init {
		sockets = activated()
	}
	files, err := preserved(3, sockets)
	if err != nil {
		return err
	}
	if sockets > 0 {
		process.Env = append(process.Env, "LISTEN_FDS="+strconv.Itoa(sockets), "LISTEN_PID=1")
	}
	further, err := preserved(3+sockets, l.preserve)
	process.ExtraFiles = append(process.ExtraFiles, files...)
	process.ExtraFiles = append(process.ExtraFiles, further...)
	return err
}

// activated is the number of sockets that were passed to this process by
// socket activation (sd_listen_fds(3)). The variables of another process, which
// we have inherited, say nothing of us.
func activated() int {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// preserved returns the n inherited descriptors from first on.
func preserved(first, n int) ([]*os.File, error) {
	var files []*os.File
	for fd := first; fd < first+n; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return nil, fmt.Errorf("unable to stat preserved-fd %d (of %d): %w", fd-first, n, err)
		}
		files = append(files, os.NewFile(uintptr(fd), "preserved:"+strconv.Itoa(fd)))
	}
	return files, nil
}

// dial connects to a socket of the caller's. The path goes through a
// descriptor of its folder: an address holds only 107 bytes (unix(7)).
func dial(path string) (*os.File, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", path, err)
	}
	defer conn.Close()
	return conn.(*net.UnixConn).File()
}
