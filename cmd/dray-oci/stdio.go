//go:build linux && cgo

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/containerd/console"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/utils"
	"golang.org/x/sys/unix"
)

// stdio joins this process's standard streams with those of a container's
// process. There are four ways:
//
//	detached, no terminal   the process inherits our streams
//	a console socket        the terminal goes to the caller through it
//	waiting, no terminal    inherited where they are pipes, sockets or
//	                        /dev/null; copied where they are terminals or files
//	                        of the host, which the container must not hold
//	waiting, terminal       the terminal comes here and is copied
type stdio struct {
	copies   sync.WaitGroup // of the output
	given    []io.Closer    // ends that belong to the process
	own      []io.Closer    // ends that are ours
	arrived  chan arrival   // holds the terminal once it has come
	host     console.Console
	terminal atomic.Pointer[os.File]
}

// An arrival is the terminal of a process, or why it did not come.
type arrival struct {
	terminal *os.File
	err      error
}

// connect sets the streams of process up.
func (l *launch) connect(process *libcontainer.Process) (*stdio, error) {
	s := &stdio{}
	switch {
	case l.spec.Terminal && l.console != "":
		socket, err := dial(l.console)
		if err != nil {
			return nil, err
		}
		process.ConsoleSocket = socket
		s.given = append(s.given, socket)
		return s, nil
	case l.spec.Terminal:
		return s, s.openTerminal(process)
	case l.detach || inheritable(os.Stdin) && inheritable(os.Stdout) && inheritable(os.Stderr):
		process.Stdin, process.Stdout, process.Stderr = os.Stdin, os.Stdout, os.Stderr
		return s, nil
	default:
		return s, s.openPipes(process, l.container)
	}
}

// inheritable says whether a container may hold f itself.
func inheritable(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	if info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 {
		return true
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

func (s *stdio) openPipes(process *libcontainer.Process, container *libcontainer.Container) error {
	config := container.Config()
	uid, err := config.HostRootUID()
	if err != nil {
		return err
	}
	gid, err := config.HostRootGID()
	if err != nil {
		return err
	}
	pipes, err := process.InitializeIO(uid, gid)
	if err != nil {
		return err
	}
	for _, end := range []any{process.Stdin, process.Stdout, process.Stderr} {
		s.given = append(s.given, end.(io.Closer))
	}
	go func() { // ends with this process: a read of our stdin can't be interrupted
		_, _ = io.Copy(pipes.Stdin, os.Stdin)
		_ = pipes.Stdin.Close()
	}()
	s.copy(os.Stdout, pipes.Stdout)
	s.copy(os.Stderr, pipes.Stderr)
	return nil
}

// copy copies until from ends. A failing write ends it: the process then gets
// SIGPIPE, as it would without us.
func (s *stdio) copy(to io.Writer, from io.ReadCloser) {
	s.copies.Go(func() {
		_, _ = io.Copy(to, from)
		_ = from.Close()
	})
}

// openTerminal prepares the socket on which the process's side sends the
// terminal that it made. It is received as soon as it comes: a program that
// has written before the terminal is set right gets its line ends changed.
func (s *stdio) openTerminal(process *libcontainer.Process) error {
	for _, f := range []*os.File{os.Stderr, os.Stdout, os.Stdin} {
		if c, err := console.ConsoleFromFile(f); err == nil {
			s.host = c
			break
		}
	}
	parent, child, err := utils.NewSockPair("console")
	if err != nil {
		return err
	}
	process.ConsoleSocket = child
	s.given = append(s.given, child)
	s.own = append(s.own, parent)
	s.arrived = make(chan arrival, 1)
	go func() { // ends when the terminal comes, or when close has closed the other end
		terminal, err := receiveTerminal(parent)
		s.arrived <- arrival{terminal, err}
	}()
	return nil
}

// started is called once the process exists: it takes the terminal and lets
// go of what now belongs to the process.
func (s *stdio) started() error {
	for _, c := range s.given {
		_ = c.Close() // libcontainer may have closed it
	}
	s.given = nil
	if s.arrived == nil {
		return nil
	}
	came := <-s.arrived
	if came.err != nil {
		return fmt.Errorf("receiving the terminal: %w", came.err)
	}
	terminal := came.terminal
	s.terminal.Store(terminal)
	s.own = append(s.own, terminal)
	go func() { _, _ = io.Copy(terminal, os.Stdin) }() // ends with this process
	s.copy(os.Stdout, terminal)
	if s.host == nil {
		return nil
	}
	s.resize()
	return s.host.SetRaw()
}

// receiveTerminal reads one message with one descriptor from socket.
func receiveTerminal(socket *os.File) (*os.File, error) {
	name, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), name, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, errors.New("no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	if len(fds) != 1 {
		return nil, fmt.Errorf("%d descriptors came, not one", len(fds))
	}
	if err := console.ClearONLCR(uintptr(fds[0])); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // so that Close ends a Read
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}

// resize gives the terminal the size of our own.
func (s *stdio) resize() {
	terminal := s.terminal.Load()
	if terminal == nil || s.host == nil {
		return
	}
	size, err := s.host.Size()
	if err != nil {
		return // our terminal went away; there is nothing to follow
	}
	_ = unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
}

// close waits for the output and gives everything back.
func (s *stdio) close() {
	for _, c := range s.given {
		_ = c.Close()
	}
	s.copies.Wait()
	for _, c := range s.own {
		_ = c.Close()
	}
	if s.host != nil {
		_ = s.host.Reset()
	}
}
