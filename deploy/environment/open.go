package environment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/event"
)

// Offer is how the hosts of one deployment get its images.
type Offer interface {
	// Sources says where a host finds an image, the shortest way first. peer is
	// the socket on the host that leads to this machine.
	Sources(ctx context.Context, host pipeline.Host, peer, digest string) []pipeline.ImageSource
	// Lacking sums up what a host of this architecture would be sent of images: of
	// each, by digest, and of all together. The host's store is asked through dial.
	Lacking(ctx context.Context, dial func(ctx context.Context) (net.Conn, error), arch string, digests []string) (each map[string]pipeline.Bytes, all pipeline.Bytes, err error)
	// Publish puts what the hosts swear beside the images, where there is a place
	// for it.
	Publish(ctx context.Context, release pipeline.Release, statements func(context.Context) ([]pipeline.Statement, error))
}

// Holders are hosts that have images, by name, each with a way to its store.
type Holders = map[string]func(ctx context.Context) (net.Conn, error)

// Opener opens the environments of one project.
type Opener struct {
	Project   *pipeline.Project
	Connector deploy.Connector
	Forget    func(*deploy.Host) // lets go of a connection that is lost; nil: it is not kept
	// Images offers the images of a release to hosts; the holders have them.
	Images   func(release pipeline.Release, holders Holders, sink event.Sink) (Offer, error)
	AgentKey func(host string) []byte // the key that evidence of a host is checked with; nil: not recorded
	Actor    pipeline.Actor
	Sink     event.Sink    // of deployments
	Parallel int           // hosts at a time; 0 is deploy.DefaultParallel
	Lease    time.Duration // 0 is deploy.DefaultLease
	LockWait time.Duration // how long to wait for somebody else's lease
	// Slow is told that a connection begins where hosts are only looked at, and
	// gives what is called at its end; nil: its events go to Sink.
	Slow func(env, host string) (stop func() bool)

	mu     sync.Mutex
	opened map[string]*Environment // by name
}

// UnreachableError is that some hosts of an environment can't be reached. It
// can be changed without them.
type UnreachableError struct {
	Err   error
	Hosts []string
}

func (e *UnreachableError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Hint adds the way without those hosts.
func (e *UnreachableError) Hint() pipeline.Hint {
	next := pipeline.HintOf(e.Err).Next + "; or go on without: --skip-host " + strings.Join(e.Hosts, ",")
	return pipeline.Hint{Next: strings.TrimPrefix(next, "; ")}
}

// Environment is an environment whose hosts are connected.
type Environment struct {
	opener *Opener
	env    *pipeline.Environment
	fleet  *deploy.Fleet
}

// Open connects to the environment's hosts, without those to skip. A host that
// dray was never on, and that is only looked at, takes part and runs nothing. One
// machine under two names is refused.
func (o *Opener) Open(ctx context.Context, env *pipeline.Environment, skip []string, sink event.Sink) (*Environment, error) {
	options := deploy.Options{Project: o.Project.Name, Environment: env.Name, Skip: skip, Parallel: o.Parallel, Lease: o.Lease}
	for _, name := range env.Hosts {
		options.Hosts = append(options.Hosts, *o.Project.Hosts[name])
	}
	fleet, err := deploy.Connect(ctx, withAbsent{o.Connector}, options, sink)
	if err != nil {
		err = fmt.Errorf("reaching %s: %w", env.Name, err)
		if away := deploy.FailedHosts(err); len(away) > 0 && len(away) < len(env.Hosts)-len(skip) {
			err = &UnreachableError{Err: err, Hosts: away}
		}
		return nil, err
	}
	open := &Environment{opener: o, env: env, fleet: fleet}
	if err := open.distinct(ctx); err != nil {
		open.Close()
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened == nil {
		o.opened = map[string]*Environment{}
	}
	o.opened[env.Name] = open
	return open, nil
}

// withAbsent connects to hosts without dray as to hosts that run nothing.
type withAbsent struct{ deploy.Connector }

// Connect returns the host, connected, or an absent one.
func (c withAbsent) Connect(ctx context.Context, host pipeline.Host, sink event.Sink) (*deploy.Host, error) {
	h, err := c.Connector.Connect(ctx, host, sink)
	if errors.Is(err, ssh.ErrAbsent) {
		return deploy.AbsentHost(host.Name, err), nil
	}
	return h, err
}

// Close closes the connections that nobody else uses.
func (e *Environment) Close() { e.fleet.Close() }

// Names lists the hosts that take part, sorted.
func (e *Environment) Names() []string { return e.fleet.Names() }

// Hosts returns the hosts that take part, sorted by name.
func (e *Environment) Hosts() []*deploy.Host { return e.fleet.Hosts() }

// Addresses says how this machine reaches each host.
func (e *Environment) Addresses() map[string]string {
	out := map[string]string{}
	for _, h := range e.fleet.Hosts() {
		out[h.Name] = h.Address
	}
	return out
}

// holders are the hosts of an open environment as places to have images from.
func (o *Opener) holders(name string) Holders {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := Holders{}
	if open := o.opened[name]; open != nil {
		for _, h := range open.fleet.Hosts() {
			out[h.Name] = h.Dial
		}
	}
	return out
}

// host is a host as the file has it.
func (o *Opener) host(name string) pipeline.Host {
	if h := o.Project.Hosts[name]; h != nil {
		return *h
	}
	return pipeline.Host{Name: name}
}

// serviceOf is the service of an instance: "web" of "web/1".
func serviceOf(instance string) string {
	service, _, _ := strings.Cut(instance, "/")
	return service
}
