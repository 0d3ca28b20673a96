package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"dray/targets/agent"
	"dray/targets/agent/access"
	"dray/targets/agent/assembly"
	"dray/targets/agent/engineapi"
	"dray/targets/agent/journal"
	"dray/targets/connect"
)

const (
	stateFolder = "/var/lib/dray"
	runFolder   = "/run/dray"
	// shutdownTime is how long requests get to end when the agent is stopped.
	// Streams that follow logs have no end of their own.
	shutdownTime = 2 * time.Second
	// gcPercent and memoryLimit trade a little time for a small daemon: it
	// mostly waits. The limit is soft; a large pull may pass it.
	gcPercent   = 40
	memoryLimit = 64 << 20
)

// place is where one agent keeps things, and what it works with.
type place struct{ state, run, oci string }

func runAgent(ctx context.Context, args []string) error {
	at, log, err := configure("agent", args)
	if err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	for ctx.Err() == nil {
		if goesDown(at.run) {
			err = stayDown(ctx, at, log)
		} else {
			err = serve(ctx, at, log)
		}
		if err != nil && !errors.Is(err, errGoingDown) {
			return err
		}
	}
	return nil
}

// configure reads the flags of the verbs that work with a host's state, and
// makes its folders.
func configure(verb string, args []string) (at place, log *slog.Logger, err error) {
	flags := flag.NewFlagSet("drayd "+verb, flag.ContinueOnError)
	flags.StringVar(&at.state, "state", stateFolder, "folder that survives a reboot")
	flags.StringVar(&at.run, "run", runFolder, "folder of sockets, gone after a reboot")
	flags.StringVar(&at.oci, "oci", beside("dray-oci"), "the OCI runtime")
	var level slog.Level
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	if err := flags.Parse(args); err != nil {
		return at, nil, err
	}
	// A container's files get the modes that they are to have, whatever the umask
	// of whoever started this.
	syscall.Umask(0o022)
	log = slog.New(slog.NewTextHandler(connect.AgentLog(), &slog.HandlerOptions{Level: level}))
	for dir, mode := range map[string]os.FileMode{at.state: 0o711, at.run: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return at, nil, err
		}
	}
	return at, log, nil
}

// beside returns the path of a program that was installed with this one.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	return filepath.Join(filepath.Dir(self), name)
}

// bundle returns the digest of the bundle that this program was installed
// from: that of its manifest; "" where it was not installed.
func bundle() string {
	manifest, err := os.ReadFile(beside("manifest.json"))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(manifest))
}

// serve opens the agent's socket, then brings the agent up behind it, and runs
// both until ctx ends. What keeps the agent from coming up, such as a full disk,
// is told to whoever asks, and tried again.
func serve(ctx context.Context, at place, log *slog.Logger) (err error) {
	lock, err := lockState(ctx, at.state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if goesDown(at.run) {
		return errGoingDown // a shutdown began while this agent did
	}
	listener, err := listen(ctx, filepath.Join(at.run, "agent.sock"))
	if err != nil {
		return err
	}
	gate := newGate()
	server := &http.Server{Handler: access.Identities(gate), ConnContext: access.Connection, ReadHeaderTimeout: 10 * time.Second}
	d := &hostAgent{place: at, log: log, gate: gate, server: server}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	tellManager(log, daemon.SdNotifyReady)
	group.Go(func() error { return watchdog(ctx, log, d.answers) })
	group.Go(func() error { return rest(ctx, restEvery) })
	group.Go(func() error { return comeUp(ctx, gate, log, d.work) })
	group.Go(func() error {
		<-ctx.Done()
		return shutDown(context.WithoutCancel(ctx), server)
	})
	return group.Wait()
}

// hostAgent is one agent behind its socket.
type hostAgent struct {
	place
	log    *slog.Logger
	gate   *gate
	server *http.Server
}

// Bounds of the wait until the agent is brought up again.
const (
	firstUp = time.Second
	lastUp  = 30 * time.Second
)

// comeUp has the agent work until ctx ends. One that did not come up is tried
// again; one that did and ends has a fault of its own, and ends the process.
func comeUp(ctx context.Context, gate *gate, log *slog.Logger, work func(context.Context) error) error {
	for wait := firstUp; ; wait = min(2*wait, lastUp) {
		err := work(ctx)
		if err == nil || ctx.Err() != nil || gate.isOpen() {
			return err
		}
		gate.refuse(err)
		log.Error("the agent does not come up", "error", err, "retry", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// work brings the agent up, opens the gate, and runs it until ctx ends.
func (d *hostAgent) work(ctx context.Context) (err error) {
	host, err := assembly.Open(ctx, assembly.Config{State: d.state, Run: d.run, OCI: d.oci, Log: d.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	before, after := commitHooks(d.run, d.log)
	a, err := agent.New(agent.Config{
		State: d.state, Log: d.log, Parts: host.Parts(), Bundle: bundle(), StartsAtBoot: connect.StartsAtBoot, Reach: host.Reach,
		Journal: journal.Options{Before: before, After: after},
	})
	if err != nil {
		return err
	}
	engine := host.EngineAPI(a.Host)
	other := http.NewServeMux()
	other.Handle("/v2/", host.Registry())
	other.Handle("/", engine)
	d.gate.open(access.Guard(access.GuardConfig{
		Next: a.Handler(other), Containers: host.Environments(), Unversioned: engineapi.Unversioned,
		Routes: slices.Concat(agent.Patterns(), engineapi.Patterns()), Log: d.log,
	}))
	// Requests end before what they work with is closed.
	defer func() { err = errors.Join(err, shutDown(context.WithoutCancel(ctx), d.server)) }()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return host.Run(ctx) })
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { return engine.Run(ctx) })
	return group.Wait()
}

func shutDown(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		return server.Close()
	}
	return nil
}

// listen makes the agent's socket. A socket that a dead agent left is
// replaced; that no other agent lives is settled by lockState.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replacing the old socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("making the agent's socket: %w", err)
	}
	return listener, os.Chmod(path, 0o660)
}
