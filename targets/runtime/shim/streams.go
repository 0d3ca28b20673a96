package shim

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"dray/targets/logs"

	"golang.org/x/sys/unix"
)

const (
	consoleName = "console.sock"
	pieceSize   = 32 << 10
	slowTime    = 10 * time.Second // a client that takes no output for so long is dropped
)

// streams are the shim's ends of a container's standard streams: pipes, or
// one terminal. What comes out goes to the log and to those who attached.
type streams struct {
	log    *logs.Writer
	copies sync.WaitGroup

	stdin, stdout, stderr *os.File // ours; with a terminal all are the same
	given                 []*os.File
	console               *net.UnixListener // until the terminal has come

	mu       sync.Mutex
	attached []*attachment
}

// An attachment is a client that takes output.
type attachment struct {
	conn           net.Conn
	stdout, stderr bool
}

func openStreams(tty, stdin bool, log *logs.Writer) (*streams, error) {
	s := &streams{log: log}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s.given = []*os.File{null, null, null}
	if tty {
		_ = os.Remove(consoleName) // of an earlier start
		s.console, err = net.ListenUnix("unix", &net.UnixAddr{Name: consoleName, Net: "unix"})
		return s, err
	}
	if stdin {
		if s.given[0], s.stdin, err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	if s.stdout, s.given[1], err = os.Pipe(); err != nil {
		return nil, err
	}
	if s.stderr, s.given[2], err = os.Pipe(); err != nil {
		return nil, err
	}
	return s, nil
}

// theirs are the container's ends.
func (s *streams) theirs() []*os.File { return s.given }

// connect is called while the OCI runtime creates the container: it takes the
// terminal, if there is to be one, and begins to copy.
func (s *streams) connect() error {
	for i, f := range s.given {
		if slices.Index(s.given, f) == i {
			_ = f.Close() // the container has its own
		}
	}
	s.given = nil
	if s.console == nil {
		s.copy(s.stdout, logs.Stdout)
		s.copy(s.stderr, logs.Stderr)
		return nil
	}
	defer os.Remove(consoleName)
	terminal, err := AcceptTerminal(s.console)
	if err != nil {
		return fmt.Errorf("receiving the terminal: %w", err)
	}
	s.stdin, s.stdout = terminal, terminal
	s.copy(terminal, logs.Stdout)
	return nil
}

// AcceptTerminal takes one connection and the terminal that it brings, as an OCI
// runtime sends it to a console socket, and closes l.
func AcceptTerminal(l *net.UnixListener) (*os.File, error) {
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	data, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data, rights)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("no descriptor came"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("not one descriptor came"), err)
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}

// copy passes on what a stream prints until it ends: a pipe with EOF, a
// terminal with EIO.
func (s *streams) copy(from *os.File, stream logs.Stream) {
	s.copies.Go(func() {
		splitter := logs.NewSplitter(stream)
		frame := make([]byte, logs.FrameHeader+pieceSize)
		for {
			n, err := from.Read(frame[logs.FrameHeader:])
			if n > 0 {
				// A log that can't be written (a full disk) must not stop the
				// container: these lines are lost, later ones may not be.
				_ = s.log.Write(splitter.Split(frame[logs.FrameHeader:logs.FrameHeader+n], time.Now())...)
				s.send(frame[:logs.FrameHeader+n], stream)
			}
			if err != nil {
				break
			}
		}
		_ = s.log.Write(splitter.Rest(time.Now())...)
	})
}

// send gives a piece of output to those who attached. A slow one holds the
// container back, as a slow terminal would, but not for ever.
func (s *streams) send(frame []byte, stream logs.Stream) {
	s.mu.Lock()
	attached := slices.Clone(s.attached)
	s.mu.Unlock()
	if len(attached) == 0 {
		return
	}
	logs.PutFrameHeader(frame, stream, len(frame)-logs.FrameHeader)
	for _, a := range attached {
		if stream == logs.Stdout && !a.stdout || stream == logs.Stderr && !a.stderr {
			continue
		}
		_ = a.conn.SetWriteDeadline(time.Now().Add(slowTime))
		if _, err := a.conn.Write(frame); err != nil {
			s.remove(a)
		}
	}
}

func (s *streams) add(a *attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attached = append(s.attached, a)
}

func (s *streams) remove(a *attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attached = slices.DeleteFunc(s.attached, func(b *attachment) bool { return a == b })
	_ = a.conn.Close()
}

// drain waits for the end of the output, which comes when the last process of
// the container is gone.
func (s *streams) drain(limit time.Duration) {
	late := time.AfterFunc(limit, func() {
		for _, f := range []*os.File{s.stdout, s.stderr} {
			if f != nil {
				_ = f.SetReadDeadline(time.Unix(0, 1))
			}
		}
	})
	s.copies.Wait()
	late.Stop()
}

// close ends the connections of those who attached.
func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.attached {
		_ = a.conn.Close()
	}
	s.attached = nil
}

// resize sets the size of the terminal.
func (s *streams) resize(rows, cols uint16) error {
	if s.stdin == nil || s.stdin != s.stdout {
		return errors.New("the container has no terminal")
	}
	raw, err := s.stdin.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	return errors.Join(err, failed)
}
