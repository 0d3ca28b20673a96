package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"dray/targets/api"
	"dray/targets/api/link"
)

// Options of Run. The zero value serves stdin and stdout.
type Options struct {
	Stdio io.ReadWriteCloser
	// StartAgent starts the agent when it does not answer; StartAgent by
	// default. It may return before the agent answers.
	StartAgent func(ctx context.Context) error
	// Look starts no agent: the client is to change nothing. An agent that is
	// just being started by others is waited for.
	Look bool
	// Role is what the client may do, as api.ParseRole reads it; "" is everything.
	Role   string
	Logger *slog.Logger
}

// errNotStarted is an agent that is down while a client only looks.
var errNotStarted = errors.New("it is down, and looking does not start it")

const (
	restartTime   = 10 * time.Second // for an agent that its service manager or keeper starts again
	agentPatience = 25 * time.Second // for an agent that was started: less than clients wait for the connection
	askEvery      = 10 * time.Second // a silent client
	givenUpAfter  = 2 * time.Minute  // a client that stays silent: on a slow link its answer queues behind megabytes
	mostStreams   = 512              // at once, in either direction
)

// Run serves one client until it goes, or until ctx ends. The end of the
// client is no error.
func Run(ctx context.Context, o Options) error {
	signal.Ignore(syscall.SIGPIPE) // a client that is gone must not end us before the socket is removed
	if o.Stdio == nil {
		o.Stdio = stdio()
	}
	if o.StartAgent == nil {
		o.StartAgent = StartAgent
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	identity, role := identify(o.Role), api.Admin()
	if o.Role != "" {
		var err error
		if role, err = api.ParseRole(o.Role); err != nil {
			return err
		}
		// Who may only look starts nothing.
		o.Look = o.Look || !role.MaySomewhere(api.RightDeploy)
	}
	if _, err := io.WriteString(o.Stdio, link.Preface+"\n"); err != nil {
		return fmt.Errorf("greeting the client: %w", err)
	}
	mux, err := link.Server(o.Stdio)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = mux.Close() })()
	b := &bridge{mux: mux, options: o, slots: make(chan struct{}, mostStreams), identity: identity, admin: role.IsAdmin()}
	defer b.work.Wait()
	defer func() { _ = mux.Close() }() // it never fails
	b.work.Go(func() {
		if err := mux.Watch(askEvery, givenUpAfter); err != nil {
			o.Logger.Info("client is gone", "reason", err)
		}
	})
	return b.serve(ctx)
}

// bridge joins one client with the agent.
type bridge struct {
	mux     *link.Mux
	options Options
	work    sync.WaitGroup
	slots   chan struct{}

	identity api.Identity // of the client
	admin    bool         // it may do everything
}

// serve greets the client on its control stream, then splices its streams
// until it goes.
func (b *bridge) serve(ctx context.Context) error {
	control, err := b.mux.Accept()
	if err != nil {
		return nil //nolint:nilerr // the client went before it began
	}
	peer, err := listenPeer()
	if err != nil {
		return errors.Join(err, b.refuse(control, err))
	}
	defer func() { _ = peer.Close() }() // removes the socket
	if err := b.awaitAgent(ctx); err != nil {
		return errors.Join(err, b.refuse(control, err))
	}
	if err := b.tooOld(); err != nil {
		return errors.Join(err, b.refuse(control, err))
	}
	hello := installed()
	hello.Peer, hello.Role = peer.Addr().String(), b.options.Role
	if err := link.WriteHello(control, hello); err != nil {
		return err
	}
	b.work.Go(func() {
		_, _ = io.Copy(io.Discard, control) // nothing comes but its end
		_ = b.mux.Close()
	})
	b.work.Go(func() { b.servePeers(peer) })
	for {
		stream, err := b.mux.Accept()
		if err != nil {
			return nil //nolint:nilerr // the client went, which is how this ends
		}
		b.slots <- struct{}{}
		b.work.Go(func() {
			defer func() { <-b.slots }()
			b.toAgent(ctx, link.NewStream(stream))
		})
	}
}

// tooOld is the fault of an agent that knows no roles, and so takes only clients
// that may do everything.
func (b *bridge) tooOld() error {
	if b.admin {
		return nil
	}
	conn, err := b.dial()
	if errors.Is(err, api.ErrNoIdentities) {
		return fmt.Errorf("%w, and this connection has role %s: somebody with a shell and root there has to upgrade it (dray host setup)", err, b.options.Role)
	}
	if err == nil {
		_ = conn.Close() // it was only a question
	}
	return nil // an agent that restarts is waited for by each stream
}

func (b *bridge) dial() (*net.UnixConn, error) { return dialAs(b.identity, b.admin) }

// refuse tells the client why there will be no connection.
func (b *bridge) refuse(control net.Conn, why error) error {
	hello := installed()
	hello.Error = why.Error()
	if err := link.WriteHello(control, hello); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, control) // the client reads it and closes
	return nil
}

// toAgent splices one of the client's streams.
func (b *bridge) toAgent(ctx context.Context, stream *link.Stream) {
	conn, err := b.dial()
	if err != nil {
		if err = b.awaitAgent(ctx); err == nil {
			conn, err = b.dial()
		}
	}
	if err != nil {
		b.options.Logger.Error("the agent does not answer", "error", err)
		_ = stream.Close() // the client sees a cut
		return
	}
	if err := link.Splice(stream, conn); err != nil {
		b.options.Logger.Debug("a stream was cut", "error", err)
	}
}

// servePeers gives the agent's connections to the client.
func (b *bridge) servePeers(peer *net.UnixListener) {
	for {
		conn, err := peer.AcceptUnix()
		if err != nil {
			return // the listener was closed
		}
		b.work.Go(func() {
			stream, err := b.mux.Open()
			if err != nil {
				_ = conn.Close() // the agent sees a cut
				return
			}
			if err := link.Splice(link.NewStream(stream), conn); err != nil {
				b.options.Logger.Debug("a peer's stream was cut", "error", err)
			}
		})
	}
}

// awaitAgent returns when the agent answers; it starts it when it must.
func (b *bridge) awaitAgent(ctx context.Context) error {
	if agentAnswers() {
		return nil
	}
	if b.options.Look {
		ctx, cancel := context.WithTimeoutCause(ctx, restartTime, errNotStarted)
		defer cancel()
		return waitForAgent(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	if err := b.options.StartAgent(ctx); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	return waitForAgent(ctx)
}

func dialAgent() (*net.UnixConn, error) {
	conn, err := net.DialTimeout("unix", agentSocket, 2*time.Second)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// listenPeer makes the socket whose connections reach the client, and removes
// those of clients that are gone.
func listenPeer() (*net.UnixListener, error) {
	if err := os.MkdirAll(peerDir, 0o700); err != nil {
		return nil, fmt.Errorf("making the peer socket: %w", err)
	}
	removeStale()
	path := filepath.Join(peerDir, strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(time.Now().UnixNano(), 36)+".sock")
	old := syscall.Umask(0o177)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("making the peer socket: %w", err)
	}
	return listener, nil
}

// removeStale removes sockets that nobody listens on any more.
func removeStale() {
	paths, err := filepath.Glob(filepath.Join(peerDir, "*.sock"))
	if err != nil {
		return // only a bad pattern
	}
	for _, path := range paths {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path) // the next client tries again
		}
	}
}

// installed says which bundle is the current one on this host, whichever this
// process was started from.
func installed() link.Hello {
	h := link.Hello{V: link.Protocol, Version: api.BuildVersion, API: api.Version, Arch: runtime.GOARCH}
	if m, digest, err := readManifest(currentLink); err == nil {
		h.Version, h.Bundle, h.API = m.Version, digest, m.API
	}
	return h
}

// stdio returns stdin and stdout such that closing them ends a Read.
func stdio() io.ReadWriteCloser {
	_ = syscall.SetNonblock(0, true) // where it can't be, Close does not end a Read, but the process ends anyway
	_ = syscall.SetNonblock(1, true)
	return &pair{in: os.NewFile(0, "stdin"), out: os.NewFile(1, "stdout")}
}

type pair struct{ in, out *os.File }

// Read reads stdin.
func (p *pair) Read(b []byte) (int, error) { return p.in.Read(b) }

// Write writes stdout.
func (p *pair) Write(b []byte) (int, error) { return p.out.Write(b) }

// Close closes both.
func (p *pair) Close() error { return errors.Join(p.in.Close(), p.out.Close()) }
