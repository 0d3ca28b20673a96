package environment

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"dray/deploy"
	"dray/deploy/bundle"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// Sessions opens one session a host and keeps it for the whole run: a host that
// is in several environments, or is asked twice, is dialled once. It is a
// deploy.Connector.
type Sessions struct {
	Actor  pipeline.Actor
	Dialer *ssh.Dialer
	SSH    func(host pipeline.Host) ssh.Options
	Images http.Handler // what hosts may pull from this machine

	looking atomic.Bool // nothing is to change on a host, not even its drayd
	mu      sync.Mutex
	open    map[string]*session // by host's name
}

// session is one that is open, or on its way.
type session struct {
	ready   chan struct{}
	ssh     *ssh.Session
	address string // of the host, as this machine reaches it
	err     error
}

// OnlyLook brings nothing to a host from here on.
func (s *Sessions) OnlyLook() { s.looking.Store(true) }

// Looks tells whether nothing is brought to a host.
func (s *Sessions) Looks() bool { return s.looking.Load() }

// Connect returns the host, connected.
func (s *Sessions) Connect(ctx context.Context, host pipeline.Host, sink event.Sink) (*deploy.Host, error) {
	got, err := s.session(ctx, host, sink)
	if err != nil {
		return nil, err
	}
	return &deploy.Host{
		Name:    host.Name,
		Address: got.address,
		Client:  api.NewClient(got.ssh.DialAgent, s.Actor),
		Dial:    got.ssh.DialAgent,
		Peer:    got.ssh.PeerSocket(),
		Done:    got.ssh.Done(),
		Close:   func() error { return nil }, // the session lives as long as the run
	}, nil
}

func (s *Sessions) session(ctx context.Context, host pipeline.Host, sink event.Sink) (*session, error) {
	s.mu.Lock()
	if s.open == nil {
		s.open = map[string]*session{}
	}
	p := s.open[host.Name]
	if p == nil {
		p = &session{ready: make(chan struct{})}
		s.open[host.Name] = p
		s.mu.Unlock()
		p.err = s.dial(ctx, host, sink, p)
		close(p.ready)
		if p.err != nil {
			s.drop(host.Name, p)
		}
		return p, p.err
	}
	s.mu.Unlock()
	select {
	case <-p.ready:
		return p, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// drop takes a session out, unless it was made anew already.
func (s *Sessions) drop(name string, p *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[name] == p {
		delete(s.open, name)
	}
}

// dial connects to a host, brings drayd there if it must, and offers this
// machine's images to it.
func (s *Sessions) dial(ctx context.Context, host pipeline.Host, sink event.Sink, p *session) error {
	sink.Emit(event.Event{Type: event.HostState, State: event.Connecting})
	transport, address, err := s.transport(ctx, host, sink)
	if err != nil {
		return err
	}
	opened, err := ssh.Connect(ctx, transport, bundle.Find, ssh.ConnectOptions{Look: s.Looks()}, sink)
	if err != nil {
		transport.Close()
		return err
	}
	sink.Emit(event.Event{Type: event.HostState, State: event.Connected})
	opened.ServePeer(s.Images)
	p.ssh, p.address = opened, address
	return nil
}

// transport reaches a host, and says under which address.
func (s *Sessions) transport(ctx context.Context, host pipeline.Host, sink event.Sink) (ssh.Transport, string, error) {
	if host.Address == pipeline.LocalHost {
		return ssh.Local(host.Name), "127.0.0.1", nil
	}
	o := s.SSH(host)
	o.Sink = sink
	conn, err := s.Dialer.Dial(ctx, o)
	if err != nil {
		return nil, "", err
	}
	_, address, _ := strings.Cut(conn.Address(), "@")
	if name, _, err := net.SplitHostPort(address); err == nil {
		address = name
	}
	return conn, address, nil
}

// Forget lets go of a connection that is lost: the next Connect makes another.
func (s *Sessions) Forget(host *deploy.Host) {
	s.mu.Lock()
	p := s.open[host.Name]
	s.mu.Unlock()
	if p == nil || !p.is(host) {
		return // it was made anew already, or is being made
	}
	s.drop(host.Name, p)
	p.ssh.Close()
}

// is tells whether a host was connected by this session.
func (p *session) is(host *deploy.Host) bool {
	select {
	case <-p.ready:
		return p.err == nil && p.ssh.Done() == host.Done
	default:
		return false
	}
}

// Close ends all sessions.
func (s *Sessions) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var group sync.WaitGroup
	for _, p := range s.open {
		group.Go(func() {
			<-p.ready
			if p.err == nil {
				p.ssh.Close()
			}
		})
	}
	group.Wait()
}
