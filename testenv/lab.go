package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// Lab is a set of hosts on one bridge. Its methods are for one goroutine at a
// time, unless a method says otherwise; different hosts may be worked on at once.
type Lab struct {
	Name      string
	Dir       string // its folder
	SSHConfig string // path of a complete ssh_config with an entry for each host
	KnownHosts,
	KeyFile string // paths: the hosts' keys, and the client's private key

	hosts []*Host
	state *state
	lock  *os.File // held by the owner of a lab that ends with its process
	log   *slog.Logger
}

var labsMade atomic.Int32

// New brings up a lab that ends with the test. Labs whose owners were killed
// before they could clean up are removed first. It fails the test if the lab
// cannot be had.
func New(t testing.TB, o Options) *Lab {
	t.Helper()
	ctx := t.Context()
	l, err := Make(ctx, o)
	if err != nil {
		t.Fatalf("bringing up a lab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.logConsoles(t)
		}
		if err := l.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("taking down the lab: %v", err)
		}
	})
	return l
}

// Make brings up a lab that ends with Close, or with this process at the
// latest: the next lab of this kind then removes what is left of it. Without
// a name it gets one of its own.
func Make(ctx context.Context, o Options) (*Lab, error) {
	if o.Name == "" {
		o.Name = fmt.Sprintf("t-%d-%d", os.Getpid(), labsMade.Add(1))
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := Sweep(ctx, o.Dir); err != nil {
		o.Logger.Warn("stale labs stay", "error", err)
	}
	return create(ctx, o, false)
}

// Up brings up a lab that outlives this process, or what is missing of it: a
// host that does not run is started, a name that is new is added. Hosts that
// run are left alone.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	lock, err := Lock(o.Dir, o.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return create(ctx, o, true)
	}
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	l, err := Load(o.Dir, o.Name)
	if err != nil {
		return nil, err
	}
	l.log = o.Logger
	return l, l.complete(ctx, o)
}

// Load finds a lab that is there, whoever brought it up. The error is
// fs.ErrNotExist if there is none of that name.
func Load(dir, name string) (*Lab, error) {
	s, err := readState(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("loading lab %s: %w", name, err)
	}
	return newLab(filepath.Join(dir, name), s, slog.New(slog.DiscardHandler)), nil
}

// newLab is the lab that the state describes.
func newLab(dir string, s *state, log *slog.Logger) *Lab {
	l := &Lab{
		Name: s.Name, Dir: dir, state: s, log: log,
		SSHConfig:  filepath.Join(dir, "ssh_config"),
		KnownHosts: filepath.Join(dir, "known_hosts"),
		KeyFile:    filepath.Join(dir, "id_ed25519"),
	}
	for _, h := range s.Hosts {
		l.hosts = append(l.hosts, &Host{Name: h.Name, Addr: s.address(h.Number), lab: l, state: h})
	}
	return l
}

// create makes a lab from nothing; on failure nothing of it is left.
func create(ctx context.Context, o Options, keep bool) (_ *Lab, err error) {
	if err := Missing(o); err != nil {
		return nil, err
	}
	dir := filepath.Join(o.Dir, o.Name)
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the lab's folder: %w", err)
	}
	s := &state{Name: o.Name, Keep: keep, Subnet: -1, DiskSize: o.DiskSize, Init: o.Init, Bastion: o.Bastion, Behind: o.Behind, Docker: o.Docker, Firewall: o.Firewall}
	l := newLab(dir, s, o.Logger)
	if l.lock, err = newLock(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close(context.WithoutCancel(ctx)))
		}
	}()
	if names := o.packages(); len(names) > 0 {
		if s.Layer, err = Packages(ctx, names...); err != nil {
			return nil, err
		}
	}
	if err := l.writeKey(); err != nil {
		return nil, err
	}
	if s.Subnet, err = makeBridge(dir); err != nil {
		return nil, fmt.Errorf("making the bridge: %w", err)
	}
	if err := l.save(); err != nil {
		return nil, err
	}
	if err := makeCgroups(s.Name); err != nil {
		return nil, fmt.Errorf("making the lab's cgroups: %w", err)
	}
	if err := l.addHosts(o.all()); err != nil {
		return nil, err
	}
	if err := l.startAll(ctx, l.hosts); err != nil {
		return nil, err
	}
	if keep {
		err := l.lock.Close()
		l.lock = nil
		return l, err
	}
	return l, nil
}

// complete brings a lab that is there to what o asks for.
func (l *Lab) complete(ctx context.Context, o Options) error {
	if err := keepBridge(l.Dir, l.state.Subnet); err != nil {
		return err
	}
	if err := makeCgroups(l.Name); err != nil {
		return err
	}
	if o.Bastion != "" {
		l.state.Bastion = o.Bastion
	}
	var added []string
	for _, name := range o.all() {
		if l.find(name) == nil {
			added = append(added, name)
		}
	}
	if err := l.addHosts(added); err != nil {
		return err
	}
	var down []*Host
	for _, h := range l.hosts {
		if !h.Running() {
			down = append(down, h)
		}
	}
	return l.startAll(ctx, down)
}

// startAll starts hosts side by side.
func (l *Lab) startAll(ctx context.Context, hosts []*Host) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4 * runtime.NumCPU())
	for _, h := range hosts {
		group.Go(func() error { return h.Start(ctx) })
	}
	return group.Wait()
}

// Host gives the host of that name; it panics if the lab has none, which is a
// slip in the test.
func (l *Lab) Host(name string) *Host {
	if h := l.find(name); h != nil {
		return h
	}
	panic(fmt.Sprintf("lab %s has no host %q", l.Name, name))
}

func (l *Lab) find(name string) *Host {
	for _, h := range l.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Hosts gives all hosts, in the order of their addresses.
func (l *Lab) Hosts() []*Host { return l.hosts }

// Gateway is this machine's own address on the lab's bridge.
func (l *Lab) Gateway() string { return l.state.address(1) }

// closeLimit is how long the kernel may take to let go of a lab.
const closeLimit = time.Minute

// Close ends every process of the lab and removes every trace of it. It goes
// on after a failure and reports all of them. Closing again does nothing.
func (l *Lab) Close(ctx context.Context) error {
	if _, err := os.Stat(l.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, closeLimit, errors.New("it took too long"))
	defer cancel()
	group := errgroup.Group{}
	group.SetLimit(4 * runtime.NumCPU())
	errs := make([]error, len(l.hosts))
	for i, h := range l.hosts {
		group.Go(func() error { errs[i] = h.Stop(ctx); return nil })
	}
	errs = append(errs, group.Wait(), l.stopMirror(ctx), removeCgroups(ctx, labGroup(l.Name)))
	if l.state.Subnet >= 0 {
		errs = append(errs, removeBridge(l.Dir, l.state.Subnet))
	}
	errs = append(errs, os.RemoveAll(l.Dir))
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}

// logConsoles shows what the hosts' inits and servers printed.
func (l *Lab) logConsoles(t testing.TB) {
	for _, h := range l.hosts {
		if text, err := os.ReadFile(h.console()); err == nil && len(text) > 0 {
			t.Logf("console of %s:\n%s", h.Name, text)
		}
	}
}
