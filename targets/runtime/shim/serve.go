package shim

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"sync"
	"time"
)

// serve answers the agent until the listener is closed.
func (s *shim) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.answer(conn) // ends with its connection, or with this process
	}
}

func (s *shim) answer(conn net.Conn) {
	input := bufio.NewReaderSize(conn, 1024)
	line, err := input.ReadSlice('\n')
	var r request
	if err != nil || json.Unmarshal(line, &r) != nil {
		_ = conn.Close()
		return
	}
	switch r.Op {
	case opWatch:
		s.watchers.add(conn)
	case opResize:
		if err := s.streams.resize(r.Rows, r.Cols); err != nil {
			_, _ = io.WriteString(conn, err.Error())
		}
		_ = conn.Close()
	case opAttach:
		s.attach(conn, input, r)
	default:
		_ = conn.Close()
	}
}

// attach joins a client with the container's streams. When the client closes
// its side, the container's input ends too, unless it is a terminal.
func (s *shim) attach(conn net.Conn, input io.Reader, r request) {
	a := &attachment{conn: conn, stdout: r.Stdout, stderr: r.Stderr}
	s.streams.add(a)
	if _, err := io.WriteString(conn, "\n"); err != nil { // from here on nothing is missed
		s.streams.remove(a)
		return
	}
	stdin := r.Stdin && s.Stdin
	to := io.Discard
	if stdin {
		to = s.streams.stdin
	}
	_, err := io.Copy(to, input)
	if stdin && !s.TTY {
		_ = s.streams.stdin.Close()
	}
	if err != nil {
		s.streams.remove(a)
	}
}

// watchers are the connections of those who wait for the end.
type watchers struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (w *watchers) add(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conn)
}

func (w *watchers) tell(exit Exit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, _ := json.Marshal(exit) // plain values can't fail
	for _, conn := range w.conns {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write(append(line, '\n')) // exit.json says it too
		_ = conn.Close()
	}
	w.conns = nil
}
