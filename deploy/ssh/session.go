package ssh

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"dray/targets/api/link"
)

// Session is a connection to a host's agent, with streams in both directions.
type Session struct {
	Hello link.Hello // the host's first message

	transport Transport
	process   *Process
	mux       *link.Mux
	handler   atomic.Pointer[http.Handler]
	server    *http.Server
	work      sync.WaitGroup
	closed    atomic.Bool
	lost      atomic.Pointer[error]
}

const (
	askEvery  = 3 * time.Second  // how often a host that sends nothing is asked, from end to end
	longest   = 90 * time.Second // silence before drayd connect counts as hung: on a slow link an answer queues behind megabytes. The transport notices a dead network much sooner
	mostPeers = 64               // streams from the host that are served at once
)

// newSession speaks with the drayd connect that p runs, whose output is in.
func newSession(t Transport, p *Process, in *prefaceReader) (*Session, error) {
	mux, err := link.Client(struct {
		io.Reader
		io.WriteCloser
	}{in, p.Stdio})
	if err != nil {
		return nil, err
	}
	hello, err := greet(mux)
	if err != nil {
		_ = p.Stdio.Close() // before the mux's end, which waits for a Read
		_ = mux.Close()
		return nil, err
	}
	s := &Session{Hello: hello, transport: t, process: p, mux: mux}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)} // a stream that a host ends early is no fault of ours
	s.work.Go(s.watch)
	s.work.Go(func() { _ = s.server.Serve(&peers{mux: mux, slots: make(chan struct{}, mostPeers)}) }) // ends with the mux
	return s, nil
}

// greet opens the control stream and reads the hello on it.
func greet(mux *link.Mux) (link.Hello, error) {
	control, err := mux.Open()
	if err != nil {
		return link.Hello{}, err
	}
	return link.ReadHello(control) // the stream stays open: its end is the session's
}

// watch waits for the end of the mux and keeps its reason.
func (s *Session) watch() {
	timeout := s.mux.Watch(askEvery, longest)
	if s.closed.Load() {
		return
	}
	err := s.transport.Err()
	if err == nil {
		err = fmt.Errorf("%s: %w: drayd connect ended there", s.transport.Name(), ErrLost)
	}
	if timeout != nil {
		err = fmt.Errorf("%s: %w: %w", s.transport.Name(), ErrLost, timeout)
	}
	s.lost.Store(&err)
}

// Name returns the host's name in the file.
func (s *Session) Name() string { return s.transport.Name() }

// DialAgent makes a connection to the agent's socket. It is a *link.Stream,
// which has CloseWrite, and fits api.NewClient.
func (s *Session) DialAgent(ctx context.Context) (net.Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	stream, err := s.mux.Open()
	if err != nil {
		if lost := s.Err(); lost != nil {
			return nil, lost
		}
		return nil, fmt.Errorf("opening a stream to %s: %w", s.transport.Name(), err)
	}
	return link.NewStream(stream), nil
}

// PeerSocket returns the path, on the host, of the socket whose connections
// ServePeer serves.
func (s *Session) PeerSocket() string { return s.Hello.Peer }

// ServePeer lets h answer the HTTP requests that the host makes over the peer
// socket: at most 64 connections at once, the others wait. Before it, such
// requests are answered with 503.
func (s *Session) ServePeer(h http.Handler) { s.handler.Store(&h) }

func (s *Session) serve(w http.ResponseWriter, r *http.Request) {
	h := s.handler.Load()
	if h == nil {
		http.Error(w, "this client serves nothing", http.StatusServiceUnavailable)
		return
	}
	(*h).ServeHTTP(w, r)
}

// Stats counts the bytes of the whole connection to the host.
func (s *Session) Stats() Stats { return s.transport.Stats() }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.mux.CloseChan() }

// Err says why the session was lost; nil while it lives and after Close.
func (s *Session) Err() error {
	select {
	case <-s.mux.CloseChan():
	default:
		return nil
	}
	if !s.closed.Load() {
		s.work.Wait() // short: the reason is being written down
	}
	if err := s.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// Close ends the session and its connection.
func (s *Session) Close() error {
	s.leave()
	return s.transport.Close()
}

// leave ends the session alone.
func (s *Session) leave() {
	s.closed.Store(true)
	stuck := time.AfterFunc(3*time.Second, func() { _ = s.transport.Close() }) // a peer that does not answer a polite end
	defer stuck.Stop()
	_ = s.process.Stdio.Close()
	_ = s.mux.Close()
	_ = s.server.Close()
	s.work.Wait()
}

// peers are the streams that the host opens, as a net.Listener.
type peers struct {
	mux   *link.Mux
	slots chan struct{}
}

// Accept waits for the next stream and for a free slot.
func (p *peers) Accept() (net.Conn, error) {
	stream, err := p.mux.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.mux.CloseChan():
		return nil, net.ErrClosed
	}
	return &peer{Stream: link.NewStream(stream), free: sync.OnceFunc(func() { <-p.slots })}, nil
}

// Close does nothing: the listener ends with the mux.
func (p *peers) Close() error { return nil }

// Addr returns the mux's.
func (p *peers) Addr() net.Addr { return p.mux.Addr() }

type peer struct {
	*link.Stream
	free func()
}

// Close ends the stream and frees its slot.
func (p *peer) Close() error {
	p.free()
	return p.Stream.Close()
}
