package deploy

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// DefaultParallel is how many hosts are worked on at a time unless told
// otherwise.
const DefaultParallel = 32

// Host is one connected host.
type Host struct {
	Name    string
	Address string // as this machine reaches it
	Absent  bool   // dray was never there, and it is only looked at: it runs nothing, and no call gets there
	Client  *api.Client
	Dial    api.Dialer      // to the agent, for calls that take the connection over
	Peer    string          // path of the socket on the host that leads to this client's images
	Done    <-chan struct{} // closed when the connection is lost
	Close   func() error
}

// AbsentHost is a host without an agent, for one who only looks. Its calls fail
// with why.
func AbsentHost(name string, why error) *Host {
	dial := func(context.Context) (net.Conn, error) { return nil, why }
	return &Host{Name: name, Absent: true, Client: api.NewClient(dial, api.Actor{}), Dial: dial, Close: func() error { return nil }}
}

// Connector opens connections to hosts.
type Connector interface {
	Connect(ctx context.Context, host pipeline.Host, sink event.Sink) (*Host, error)
}

// Fleet is the connected hosts of one environment.
type Fleet struct {
	Project     string
	Environment string
	Skipped     []string // hosts that were left out on request

	hosts    []*Host // sorted by name
	parallel int
	lease    time.Duration
	sink     event.Sink
}

// Options of Connect.
type Options struct {
	Project     string
	Environment string
	Hosts       []pipeline.Host
	Skip        []string      // names of hosts to leave out
	Parallel    int           // 0 is DefaultParallel
	Lease       time.Duration // 0 is DefaultLease; whole seconds
}

// Connect opens all hosts at once. When one fails, all are closed and the
// error names every host that failed.
func Connect(ctx context.Context, connector Connector, o Options, sink event.Sink) (*Fleet, error) {
	f := &Fleet{Project: o.Project, Environment: o.Environment, parallel: o.Parallel, lease: o.Lease}
	if f.lease <= 0 {
		f.lease = DefaultLease
	}
	if f.parallel <= 0 {
		f.parallel = DefaultParallel
	}
	f.sink = event.With(sink, func(e *event.Event) {
		e.Project, e.Environment = o.Project, o.Environment
	})
	var mu sync.Mutex
	failed := map[string]error{}
	var group errgroup.Group
	group.SetLimit(f.parallel)
	for _, h := range o.Hosts {
		if slices.Contains(o.Skip, h.Name) {
			f.Skipped = append(f.Skipped, h.Name)
			continue
		}
		group.Go(func() error {
			host, err := connector.Connect(ctx, h, f.hostSink(h.Name))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[h.Name] = err
				return nil
			}
			f.hosts = append(f.hosts, host)
			return nil
		})
	}
	_ = group.Wait() // the functions report through failed
	slices.SortFunc(f.hosts, func(a, b *Host) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	if len(failed) > 0 {
		f.Close()
		return nil, joinHosts(failed)
	}
	return f, nil
}

// Close closes every connection.
func (f *Fleet) Close() {
	var group errgroup.Group
	for _, h := range f.hosts {
		group.Go(h.Close)
	}
	_ = group.Wait() // nothing more is asked of the hosts
}

// Hosts returns the connected hosts, sorted by name.
func (f *Fleet) Hosts() []*Host { return f.hosts }

// Host returns the connected host of that name, or nil.
func (f *Fleet) Host(name string) *Host {
	for _, h := range f.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Names returns the names of the connected hosts.
func (f *Fleet) Names() []string {
	names := make([]string, len(f.hosts))
	for i, h := range f.hosts {
		names[i] = h.Name
	}
	return names
}

// Observe reads what every host knows of the environment. A host that never
// heard of it gives an empty one.
func (f *Fleet) Observe(ctx context.Context) (map[string]*api.Environment, error) {
	var mu sync.Mutex
	seen := map[string]*api.Environment{}
	err := f.each(ctx, func(ctx context.Context, h *Host) error {
		var env *api.Environment
		var err error
		if !h.Absent {
			env, err = f.on(h).Get(ctx)
		}
		if h.Absent || isCode(err, api.CodeNotFound) {
			env, err = &api.Environment{Project: f.Project, Name: f.Environment}, nil
		}
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		seen[h.Name] = env
		return nil
	})
	return seen, err
}

// on returns the calls of this fleet's environment on a host.
func (f *Fleet) on(h *Host) *api.EnvironmentClient {
	return h.Client.Environment(f.Project, f.Environment)
}

// each calls fn for all hosts side by side and gathers every failure.
func (f *Fleet) each(ctx context.Context, fn func(context.Context, *Host) error) error {
	return f.eachOf(ctx, f.Names(), fn)
}

func (f *Fleet) eachOf(ctx context.Context, names []string, fn func(context.Context, *Host) error) error {
	var mu sync.Mutex
	failed := map[string]error{}
	var group errgroup.Group
	group.SetLimit(f.parallel)
	for _, h := range f.hosts {
		if !slices.Contains(names, h.Name) {
			continue
		}
		group.Go(func() error {
			if err := fn(ctx, h); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[h.Name] = err
			}
			return nil
		})
	}
	_ = group.Wait() // the functions report through failed
	if len(failed) == 0 {
		return nil
	}
	return joinHosts(failed)
}

func (f *Fleet) hostSink(name string) event.Sink {
	return event.With(f.sink, func(e *event.Event) { e.Host = name })
}

func isCode(err error, code string) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
