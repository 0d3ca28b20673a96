package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/targets/agent/access"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/api/apitest"
	"dray/targets/runtime"
)

var errCrashed = errors.New("the agent has crashed")

// world is a host in memory: what outlives the agent (containers, the kernel's
// routes, images, volumes), and what the tests watch. The real parts are tried
// in the integration test; here the agent must die between any two effects.
type world struct {
	t   *testing.T
	dir string

	mu         sync.Mutex
	dead       bool // the agent has crashed: nothing more has an effect
	containers map[string]*runtime.Container
	nextID     int
	routes     map[string]Route  // by routeKey
	reserved   map[string]string // "80/tcp" → network
	verified   int               // how often the kernel was read back
	unverified error             // what that found
	verifying  func()            // called by Verify, without locks; nil: nothing
	images     map[string]bool
	volumes    map[string]bool
	sick       map[string]bool // image digests whose containers are never healthy
	watchers   map[int]func(runtime.Change)
	busy       map[string]bool // addresses with live connections
	stopTakes  time.Duration   // from the signal to the end
	diskFull   bool            // a container can't be stopped: that can't be kept
	created    int
	started    int
	mustServe  []string // services that must have a running backend at any time
	gaps       []string // times at which one had none
	logs       map[string][]string
	last       []string // of any container; nil: the usual
	keeps      []string // VOLUMEs of all images
}

func newWorld(t *testing.T) *world {
	dir, err := os.MkdirTemp("/dev/shm", "agent")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &world{
		t: t, dir: dir, containers: map[string]*runtime.Container{}, routes: map[string]Route{},
		reserved: map[string]string{}, images: map[string]bool{}, volumes: map[string]bool{},
		sick: map[string]bool{}, watchers: map[int]func(runtime.Change){}, busy: map[string]bool{},
		logs: map[string][]string{},
	}
}

func (w *world) parts() Parts {
	return Parts{Containers: (*fakeContainers)(w), Health: (*fakeHealth)(w), Logs: (*fakeLogs)(w),
		Images: (*fakeImages)(w), Traffic: (*fakeTraffic)(w), Volumes: (*fakeVolumes)(w)}
}

// do runs an effect, unless the agent is dead.
func (w *world) do(ctx context.Context, effect func() error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errCrashed
	}
	err := effect()
	w.checkServing()
	return err
}

// checkServing notes when a service that must serve has no running container.
func (w *world) checkServing() {
	for _, service := range w.mustServe {
		reachable := slices.ContainsFunc(w.routes[service].Backends, func(b Backend) bool {
			for _, c := range w.containers {
				if c.Address == b.Address && c.State == runtime.Running {
					return true
				}
			}
			return false
		})
		if !reachable {
			w.gaps = append(w.gaps, service)
		}
	}
}

func (w *world) change(c *runtime.Container, action string) {
	for _, watch := range w.watchers {
		watch(runtime.Change{Time: time.Now(), Container: *c, Action: action})
	}
}

// reboot takes away what a reboot takes away.
func (w *world) reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.containers {
		c.State = runtime.Exited
	}
	w.routes, w.busy = map[string]Route{}, map[string]bool{}
}

// photo is a world at rest, to begin from more than once.
type photo struct {
	state      []byte // agent.db
	containers map[string]runtime.Container
	world      world
}

func (w *world) photograph() *photo {
	p := &photo{containers: map[string]runtime.Container{}, world: world{
		nextID: w.nextID, routes: maps.Clone(w.routes), reserved: maps.Clone(w.reserved),
		images: maps.Clone(w.images), volumes: maps.Clone(w.volumes), mustServe: w.mustServe,
	}}
	for id, c := range w.containers {
		p.containers[id] = *c
	}
	var err error
	if p.state, err = os.ReadFile(filepath.Join(w.dir, "agent.db")); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (p *photo) restore(t *testing.T) *world {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "agent.db"), p.state, 0o600); err != nil {
		t.Fatal(err)
	}
	for id, c := range p.containers {
		w.containers[id] = &c
	}
	w.nextID, w.mustServe = p.world.nextID, p.world.mustServe
	w.routes, w.reserved = maps.Clone(p.world.routes), maps.Clone(p.world.reserved)
	w.images, w.volumes = maps.Clone(p.world.images), maps.Clone(p.world.volumes)
	return w
}

type fakeContainers world

func (f *fakeContainers) List() []runtime.Container {
	w := (*world)(f)
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []runtime.Container
	for _, c := range w.containers {
		list = append(list, *c)
	}
	return list
}

func (f *fakeContainers) Create(ctx context.Context, spec runtime.Spec) (out runtime.Container, err error) {
	w := (*world)(f)
	err = w.do(ctx, func() error {
		for _, c := range w.containers {
			if c.Spec.Name == spec.Name {
				return fmt.Errorf("%w: %s", runtime.ErrExists, spec.Name)
			}
		}
		if !w.images[spec.Image] {
			return fmt.Errorf("no image %s", spec.Image)
		}
		w.nextID++
		w.created++
		out = runtime.Container{
			ID: fmt.Sprintf("c%d", w.nextID), Spec: spec, CreatedAt: time.Now(), State: runtime.Created,
			Address: netip.AddrFrom4([4]byte{10, 209, 0, byte(w.nextID + 1)}),
		}
		c := out
		w.containers[c.ID] = &c
		w.change(&c, "create")
		return nil
	})
	return out, err
}

func (f *fakeContainers) Start(ctx context.Context, id string) error {
	return f.start(ctx, id, func(*runtime.Container) bool { return true })
}

func (f *fakeContainers) StartWanted(ctx context.Context, id string) error {
	return f.start(ctx, id, func(c *runtime.Container) bool { return c.State == runtime.Exited && c.Wanted })
}

func (f *fakeContainers) start(ctx context.Context, id string, applies func(*runtime.Container) bool) error {
	w := (*world)(f)
	return w.do(ctx, func() error {
		c := w.containers[id]
		if c == nil {
			return fmt.Errorf("no container %s", id)
		}
		if !applies(c) {
			return nil
		}
		if c.State == runtime.Running {
			c.Wanted = true
			return nil
		}
		w.started++
		c.State, c.Wanted, c.Started = runtime.Running, true, time.Now()
		c.Health = runtime.Health{Status: api.HealthHealthy, Since: time.Now()}
		if w.sick[c.Spec.Image] {
			c.Health = runtime.Health{Status: api.HealthUnhealthy, Last: "connection refused"}
		}
		w.change(c, "start")
		return nil
	})
}

func (f *fakeContainers) Stop(ctx context.Context, id string) error {
	w := (*world)(f)
	ended := make(chan struct{})
	err := w.do(ctx, func() error {
		c := w.containers[id]
		if c == nil {
			close(ended)
			return nil
		}
		if w.diskFull {
			close(ended)
			return errors.New("no space left on device")
		}
		if c.State == runtime.Running && w.busy[c.Address.String()] {
			w.t.Errorf("container %s was stopped with live connections", c.Spec.Name)
		}
		c.Wanted = false
		end := func() {
			c.State, c.Finished = runtime.Exited, time.Now()
			w.change(c, "die")
			close(ended)
		}
		if w.stopTakes == 0 || c.State != runtime.Running {
			end()
			return nil
		}
		go func() { // the process ends, whoever waits for it
			time.Sleep(w.stopTakes)
			w.mu.Lock()
			defer w.mu.Unlock()
			end()
		}()
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *fakeContainers) Wait(ctx context.Context, id string) (runtime.Container, error) {
	w := (*world)(f)
	for {
		w.mu.Lock()
		c, dead := runtime.Container{ID: id}, w.dead
		if w.containers[id] != nil {
			c = *w.containers[id]
		}
		w.mu.Unlock()
		if c.State != runtime.Running || dead {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return runtime.Container{}, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

func (f *fakeContainers) WaitEnd(ctx context.Context, id string, ready func()) (runtime.Container, error) {
	w := (*world)(f)
	ready()
	for {
		w.mu.Lock()
		c, there := w.containers[id]
		out := runtime.Container{ID: id}
		if there {
			out = *c
		}
		w.mu.Unlock()
		if !there || out.State == runtime.Exited {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return out, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

func (f *fakeContainers) Remove(ctx context.Context, id string) error {
	w := (*world)(f)
	return w.do(ctx, func() error {
		if c := w.containers[id]; c != nil {
			delete(w.containers, id)
			w.change(c, "destroy")
		}
		return nil
	})
}

func (f *fakeContainers) Watch(changed func(runtime.Change)) (stop func()) {
	w := (*world)(f)
	w.mu.Lock()
	n := len(w.watchers)
	for w.watchers[n] != nil {
		n++
	}
	w.watchers[n] = changed
	w.mu.Unlock()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, n)
	}
}

type fakeHealth world

func (f *fakeHealth) Wait(ctx context.Context, id string, least time.Duration) error {
	w := (*world)(f)
	for {
		w.mu.Lock()
		c := w.containers[id]
		healthy := c != nil && c.State == runtime.Running && c.Health.Status == api.HealthHealthy && time.Since(c.Health.Since) >= least
		w.mu.Unlock()
		if healthy {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("GET http://10.209.0.2:80/up: connection refused (%w)", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

type fakeLogs world

func (f *fakeLogs) Last(string, int) []string {
	if f.last != nil {
		return f.last
	}
	return []string{"listening on :80"}
}

func (f *fakeLogs) Follow(_ context.Context, id string, line func(stream, text string)) error {
	for _, text := range f.logs[id] {
		line("stdout", text)
	}
	return nil
}
func (f *fakeLogs) Keep(id, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "log"), []byte(strings.Join(f.logs[id], "\n")), 0o600)
}
func (f *fakeLogs) Read(ctx context.Context, id string, q api.LogQuery, line func(at time.Time, stream, text string)) error {
	for _, text := range f.logs[id] {
		line(time.Now(), "stdout", text)
	}
	if !q.Follow {
		return nil
	}
	_, err := (*fakeContainers)(f).Wait(ctx, id)
	return err
}
func (f *fakeLogs) ReadKept(_ context.Context, folder string, _ api.LogQuery, line func(at time.Time, stream, text string)) error {
	text, err := os.ReadFile(filepath.Join(folder, "log"))
	if len(text) == 0 {
		line(time.Now(), "stderr", "last words of "+filepath.Base(folder))
	} else {
		for _, text := range strings.Split(string(text), "\n") {
			line(time.Now(), "stdout", text)
		}
	}
	return err
}

type fakeImages world

func (f *fakeImages) Pull(ctx context.Context, p PullRequest) (int64, error) {
	w := (*world)(f)
	var got int64
	return got, w.do(ctx, func() error {
		if len(p.Sources) == 0 && !w.images[p.Digest] {
			return errors.New("no source has it")
		}
		if !w.images[p.Digest] {
			got = 1000
		}
		w.images[p.Digest] = true
		return nil
	})
}

func (f *fakeImages) Volumes(context.Context, string) ([]string, error) { return f.keeps, nil }

func (f *fakeImages) Collect(ctx context.Context, c Collection) (r api.PruneResult, err error) {
	w := (*world)(f)
	w.mu.Lock()
	before := maps.Clone(w.images) // what is pulled from now on stays
	w.mu.Unlock()
	keep, err := c.Needed()
	if err != nil {
		return r, err
	}
	return r, w.do(ctx, func() error {
		for digest := range before {
			if !slices.Contains(keep, digest) && !c.DryRun {
				delete(w.images, digest)
				r.Blobs++
			}
		}
		return nil
	})
}

type fakeTraffic world

func (f *fakeTraffic) Ensure(ctx context.Context, _ string, _ []string) error {
	return (*world)(f).do(ctx, func() error { return nil })
}

func (f *fakeTraffic) Reserve(ctx context.Context, network, _ string, ports []pipeline.Port) error {
	w := (*world)(f)
	return w.do(ctx, func() error {
		for _, p := range ports {
			key := p.Published()
			if owner := w.reserved[key]; owner != "" && owner != network {
				return &api.Error{Code: api.CodePort, Port: p.Name, Message: "port " + key + " is taken by " + owner}
			}
		}
		for _, p := range ports {
			if p.Publish != 0 {
				w.reserved[p.Published()] = network
			}
		}
		return nil
	})
}

func (f *fakeTraffic) Verify(ctx context.Context, _ string) error {
	w := (*world)(f)
	if w.verifying != nil {
		w.verifying()
	}
	return w.do(ctx, func() error { w.verified++; return w.unverified })
}

func (f *fakeTraffic) Switch(ctx context.Context, routes []Route) error {
	w := (*world)(f)
	return w.do(ctx, func() error {
		for _, r := range routes {
			w.routes[routeKey(r)] = r
		}
		return nil
	})
}

func (f *fakeTraffic) Drained(ctx context.Context, addresses []netip.Addr) error {
	w := (*world)(f)
	for {
		w.mu.Lock()
		left := slices.ContainsFunc(addresses, func(a netip.Addr) bool { return w.busy[a.String()] })
		w.mu.Unlock()
		if !left {
			return nil
		}
		select {
		case <-ctx.Done():
			w.mu.Lock()
			for _, a := range addresses {
				delete(w.busy, a.String())
			}
			w.mu.Unlock()
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (f *fakeTraffic) Release(ctx context.Context, network string, keep []Route) error {
	w := (*world)(f)
	return w.do(ctx, func() error {
		kept := func(service string) bool {
			return slices.ContainsFunc(keep, func(r Route) bool { return r.Service == service })
		}
		maps.DeleteFunc(w.routes, func(_ string, r Route) bool { return r.Network == network && !kept(r.Service) })
		maps.DeleteFunc(w.reserved, func(port, owner string) bool {
			return owner == network && !slices.ContainsFunc(keep, func(r Route) bool { return publishes(r.Ports, port) })
		})
		return nil
	})
}

func (f *fakeTraffic) Remove(ctx context.Context, network string) error {
	return f.Release(ctx, network, nil)
}

// routeKey names a route in the world: that of a service of the environment in
// which most tests work by the service alone.
func routeKey(r Route) string { return strings.TrimPrefix(r.Network+"/"+r.Service, "shop-prod/") }

func publishes(ports []pipeline.Port, port string) bool {
	return slices.ContainsFunc(ports, func(p pipeline.Port) bool { return p.Published() == port })
}

type fakeVolumes world

func (f *fakeVolumes) Ensure(ctx context.Context, network, name string) (string, error) {
	w := (*world)(f)
	return "/volumes/" + network + "/" + name, w.do(ctx, func() error { w.volumes[network+"/"+name] = true; return nil })
}
func (f *fakeVolumes) Fill(context.Context, string, string, string, string) error { return nil }
func (f *fakeVolumes) List(network string) (names []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(f.volumes)) {
		if owner, name, _ := strings.Cut(key, "/"); owner == network {
			names = append(names, name)
		}
	}
	return names, nil
}
func (f *fakeVolumes) Remove(ctx context.Context, network, name string) error {
	w := (*world)(f)
	return w.do(ctx, func() error { delete(w.volumes, network+"/"+name); return nil })
}

// running is an agent at work on a world, and a client of it.
type running struct {
	*api.EnvironmentClient
	agent  *Agent
	client *api.Client
	server *httptest.Server
	points []string
	stop   func()
}

// boot starts an agent. It dies right after the crashAt-th change of its
// state, counted from 1; 0 is never.
func (w *world) boot(crashAt int) *running {
	w.t.Helper()
	w.mu.Lock()
	w.dead = false
	w.mu.Unlock()
	r := &running{}
	var mu sync.Mutex
	seen, armed := 0, false
	a, err := New(Config{State: w.dir, Log: slog.New(slog.DiscardHandler), Parts: w.parts(), Journal: journal.Options{NoSync: true, After: func(point string) {
		mu.Lock()
		seen++
		now := seen
		r.points = append(r.points, point)
		mu.Unlock()
		if armed && now == crashAt {
			w.mu.Lock()
			w.dead = true
			w.mu.Unlock()
			_ = r.agent.journal.Close()
		}
	}}})
	if err != nil {
		w.t.Fatal(err)
	}
	r.agent = a
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	w.connect(r)
	r.stop = func() { cancel(errCrashed); <-done; r.close() }
	synctest.Wait()
	mu.Lock()
	seen, r.points, armed = 0, nil, true
	mu.Unlock()
	return r
}

// connect gives the client a way to the agent without a network, so that time
// stands still while nobody has anything to do.
func (w *world) connect(r *running) {
	listener := apitest.Listen()
	server := &http.Server{Handler: access.Identities(r.agent.Handler(nil)), ConnContext: access.Connection}
	go func() { _ = server.Serve(listener) }()
	r.client = api.NewClient(listener.Dial, api.Actor{User: "mira", Machine: "ci-7", Command: "dray deploy"})
	r.EnvironmentClient = r.client.Environment("shop", "prod")
	r.server = &httptest.Server{Config: server}
}

func (r *running) close() {
	r.client.CloseIdle()
	_ = r.server.Config.Close()
}
