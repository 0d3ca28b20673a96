package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/gofrs/flock"
	"github.com/moby/buildkit/cache/remotecache"
	inlineremotecache "github.com/moby/buildkit/cache/remotecache/inline"
	localremotecache "github.com/moby/buildkit/cache/remotecache/local"
	registryremotecache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // BuildKit's messages need its own codec
	"github.com/moby/buildkit/util/tracing/detect"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"dray/pipeline/durable"
)

// ErrBusy says that another server of the same folder is running.
var ErrBusy = errors.New("another builder runs in this folder")

// historyEntries is how many finished builds BuildKit remembers.
const historyEntries = 10

// Serve runs the builder until ctx ends or nobody has used it for o.Idle. It
// calls ready once it answers. Builds that run when ctx ends are finished
// first; the caller ends the process when it can't wait.
func Serve(ctx context.Context, o Embedded, log *slog.Logger, ready func()) (err error) {
	o = o.withDefaults()
	fingerprint, err := o.fingerprint()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("the embedded builder needs root, to mount and to run steps in containers: run dray with sudo, or set BUILDKIT_HOST to a builder that this user may use")
	}
	if o.Runtime, err = FindRuntime(o.Runtime); err != nil {
		return err
	}
	var closers undo
	defer func() { err = errors.Join(err, closers.run()) }()
	if err := lock(o, &closers); err != nil {
		return err
	}
	listener, err := listen(o)
	if err != nil {
		return fmt.Errorf("listening for builds: %w", err)
	}
	closers.add(listener.Close)
	controller, err := openController(ctx, o, log, &closers)
	if err != nil {
		return fmt.Errorf("starting the builder: %w", err)
	}
	closers.add(func() error { return removeCgroups(o.CgroupParent) })
	if err := writeIdentity(o, fingerprint); err != nil {
		return err
	}
	closers.add(func() error { return os.Remove(o.identityFile()) })
	log.Info("builder ready", "socket", o.socket(), "runtime", o.Runtime, "idle", o.Idle)
	ready()
	return serve(ctx, o, listener, controller, log)
}

// serve answers on both sockets until the builds' listener is closed, by
// idleness, Stop or ctx, and then lets running builds end.
func serve(ctx context.Context, o Embedded, listener *idleListener, controller *control.Controller, log *slog.Logger) error {
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
	)
	healthv1.RegisterHealthServer(server, health.NewServer())
	controller.Register(server)

	group, ctx := errgroup.WithContext(ctx)
	stopControl, err := serveControl(o, listener, group)
	if err != nil {
		return err
	}
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-listener.closed:
		}
		log.Info("builder stops")
		err := listener.Close()
		server.GracefulStop()
		return errors.Join(err, stopControl())
	})
	group.Go(func() error {
		err := server.Serve(listener)
		if listener.isClosed() || errors.Is(err, grpc.ErrServerStopped) {
			return nil
		}
		return err
	})
	return group.Wait()
}

// openController starts BuildKit. When a power cut has left its cache in a
// state that can't be read, the cache is begun anew: everything in it can be
// built again.
func openController(ctx context.Context, o Embedded, log *slog.Logger, closers *undo) (*control.Controller, error) {
	var mine undo
	controller, err := newController(ctx, o, &mine)
	if isCorrupt(err) {
		log.Warn("the build cache is damaged and is begun anew", "cause", err)
		if err := errors.Join(mine.run(), os.RemoveAll(o.cacheDir())); err != nil {
			return nil, err
		}
		controller, err = newController(ctx, o, &mine)
	}
	if err != nil {
		return nil, errors.Join(err, mine.run())
	}
	closers.add(mine.run)
	return controller, nil
}

func isCorrupt(err error) bool {
	return errors.Is(err, bbolterrors.ErrInvalid) || errors.Is(err, bbolterrors.ErrChecksum) || errors.Is(err, bbolterrors.ErrVersionMismatch)
}

// newController wires BuildKit: one worker, the Dockerfile frontend built in,
// frontends from images, and the caches that a target may name.
func newController(ctx context.Context, o Embedded, closers *undo) (*control.Controller, error) {
	if err := os.Setenv(noOverlayDiff, "false"); err != nil {
		return nil, err
	}
	if detect.Recorder == nil {
		detect.Recorder = detect.NewTraceRecorder()
	}
	root := o.cacheDir()
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	w, err := newWorker(ctx, root, o, closers)
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	fromImage, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(root, "cache.db"))
	if err != nil {
		return nil, err
	}
	entries := int64(historyEntries)
	history, err := boltutil.SafeOpen(filepath.Join(root, "history.db"), 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	controller, err := control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
			"gateway.v0":    fromImage,
		},
		ResolveCacheExporterFuncs: cacheExporters(sessions, w),
		ResolveCacheImporterFuncs: cacheImporters(sessions, w),

		CacheManager:   solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		Entitlements:   []string{networkHost, securityInsecure}, // granted to a target that asks for them
		TraceCollector: detect.Recorder,
		HistoryDB:      history,
		HistoryConfig:  &config.HistoryConfig{MaxEntries: &entries},
		CacheStore:     cache,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
		GracefulStop:   ctx.Done(),
	})
	if err != nil {
		return nil, err
	}
	closers.add(controller.Close)
	return controller, nil
}

// cacheExporters are the types that a target's cache-to may name.
func cacheExporters(sessions *session.Manager, w *base.Worker) map[string]remotecache.ResolveCacheExporterFunc {
	return map[string]remotecache.ResolveCacheExporterFunc{
		"registry": registryremotecache.ResolveCacheExporterFunc(sessions, w.RegistryHosts),
		"local":    localremotecache.ResolveCacheExporterFunc(sessions),
		"inline":   inlineremotecache.ResolveCacheExporterFunc(),
	}
}

// cacheImporters are the types that a target's cache-from may name.
func cacheImporters(sessions *session.Manager, w *base.Worker) map[string]remotecache.ResolveCacheImporterFunc {
	return map[string]remotecache.ResolveCacheImporterFunc{
		"registry": registryremotecache.ResolveCacheImporterFunc(sessions, w.ContentStore(), w.RegistryHosts),
		"local":    localremotecache.ResolveCacheImporterFunc(sessions),
	}
}

// lock elects this process as the folder's one server, or returns ErrBusy.
// The kernel gives the lock back when the process ends, however it ends.
func lock(o Embedded, closers *undo) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	l := flock.New(o.lockFile(), flock.SetPermissions(0o600))
	switch ok, err := l.TryLock(); {
	case err != nil:
		return fmt.Errorf("locking %s: %w", o.lockFile(), err)
	case !ok:
		return ErrBusy
	}
	closers.add(l.Close)
	return nil
}

// listen takes the socket's path; the lock's holder may remove what a killed
// server left there.
func listen(o Embedded) (*idleListener, error) {
	l, err := listenUnix(o.socket())
	if err != nil {
		return nil, err
	}
	return newIdleListener(l, o.Idle.D()), nil
}

func listenUnix(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var info unix.Stat_t
	if err := unix.Lstat(dir, &info); err != nil {
		return nil, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if info.Mode&unix.S_IFMT != unix.S_IFDIR || info.Mode&0o077 != 0 || int(info.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s must be a folder of this user that nobody else can enter", dir)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return net.Listen("unix", path)
}

func writeIdentity(o Embedded, fingerprint string) error {
	data, err := json.Marshal(identity{PID: os.Getpid(), Version: o.Version, Fingerprint: fingerprint, Started: time.Now().UTC()})
	if err != nil {
		return err
	}
	return durable.Write(o.identityFile(), data, 0o600)
}
