package main

import (
	"context"
	"net"
	"strings"
	"sync"

	"dray/deploy"
	"dray/deploy/bundle"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// connector opens one session a host and keeps it for the whole run: a host
// that is in several environments, or is asked twice, is dialled once.
type connector struct {
	project *project
	relay   *relay // what hosts may pull from this machine
	looking bool   // nothing is to change on a host, not even its drayd

	mu       sync.Mutex
	sessions map[string]*pending
}

// pending is a session, or one on its way.
type pending struct {
	ready   chan struct{}
	session *ssh.Session
	address string // of the host, as this machine reaches it
	close   func()
	err     error
}

// is tells whether a host was connected by this session.
func (p *pending) is(host *deploy.Host) bool {
	select {
	case <-p.ready:
		return p.session != nil && p.session.Done() == host.Done
	default:
		return false
	}
}

func newConnector(p *project) *connector {
	return &connector{project: p, relay: newRelay(p), sessions: map[string]*pending{}}
}

// Connect returns the host, connected.
func (c *connector) Connect(ctx context.Context, host pipeline.Host, sink event.Sink) (*deploy.Host, error) {
	session, err := c.session(ctx, host, sink)
	if err != nil {
		return nil, err
	}
	return &deploy.Host{
		Name:   host.Name,
		Client: api.NewClient(session.DialAgent, c.project.app.actor()),
		Peer:   session.PeerSocket(),
		Done:   session.Done(),
		Close:  func() error { return nil }, // the session lives as long as the run
	}, nil
}

func (c *connector) session(ctx context.Context, host pipeline.Host, sink event.Sink) (*ssh.Session, error) {
	c.mu.Lock()
	p := c.sessions[host.Name]
	if p == nil {
		p = &pending{ready: make(chan struct{})}
		c.sessions[host.Name] = p
		c.mu.Unlock()
		p.err = c.dial(ctx, host, sink, p)
		close(p.ready)
		if p.err != nil {
			c.mu.Lock()
			delete(c.sessions, host.Name)
			c.mu.Unlock()
		}
		return p.session, p.err
	}
	c.mu.Unlock()
	select {
	case <-p.ready:
		return p.session, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// dial connects to a host, brings drayd there if it must, and offers this
// machine's images to it.
func (c *connector) dial(ctx context.Context, host pipeline.Host, sink event.Sink, p *pending) error {
	sink.Emit(event.Event{Type: event.HostState, State: event.Connecting})
	transport, address, err := c.transport(ctx, host)
	if err != nil {
		return err
	}
	session, err := ssh.Connect(ctx, transport, bundle.Find, ssh.ConnectOptions{Look: c.looking}, sink)
	if err != nil {
		transport.Close()
		return err
	}
	sink.Emit(event.Event{Type: event.HostState, State: event.Connected})
	session.ServePeer(c.relay.handler())
	p.session, p.address, p.close = session, address, func() { session.Close() }
	return nil
}

// transport reaches a host, and says under which address.
func (c *connector) transport(ctx context.Context, host pipeline.Host) (ssh.Transport, string, error) {
	if host.Address == pipeline.LocalHost {
		return ssh.Local(host.Name), "127.0.0.1", nil
	}
	conn, err := ssh.Dial(ctx, c.options(ctx, host))
	if err != nil {
		return nil, "", err
	}
	_, address, _ := strings.Cut(conn.Address(), "@")
	if name, _, err := net.SplitHostPort(address); err == nil {
		address = name
	}
	return conn, address, nil
}

// address is how this machine reaches a connected host.
func (c *connector) address(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.sessions[name]; p != nil {
		return p.address
	}
	return name
}

func (c *connector) options(ctx context.Context, host pipeline.Host) ssh.Options {
	return ssh.Options{
		Name: host.Name, Address: host.Address, Jump: host.Jump,
		Config: c.project.app.settings.SSHConfig, Trusted: c.project.trustedKeys(host.Name),
		Passphrase: func(keyFile string) ([]byte, error) { return c.project.app.passphrase(ctx, keyFile) },
	}
}

// forget lets go of a connection that is lost: the next Connect makes another.
func (c *connector) forget(host *deploy.Host) {
	c.mu.Lock()
	p := c.sessions[host.Name]
	if p == nil || !p.is(host) {
		c.mu.Unlock()
		return // it was made anew already, or is being made
	}
	delete(c.sessions, host.Name)
	c.mu.Unlock()
	p.close()
}

// engineOf returns the Engine API of a connected host.
func (c *connector) engineOf(ctx context.Context, host *deploy.Host) *engine {
	return &engine{host: host.Name, client: host.Client, dial: func(ctx context.Context) (net.Conn, error) {
		c.mu.Lock()
		p := c.sessions[host.Name]
		c.mu.Unlock()
		return p.session.DialAgent(ctx)
	}}
}

func (c *connector) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var group sync.WaitGroup
	for _, p := range c.sessions {
		group.Go(func() {
			<-p.ready
			if p.err == nil {
				p.close()
			}
		})
	}
	group.Wait()
}
