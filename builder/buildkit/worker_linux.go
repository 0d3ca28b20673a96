package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/platforms"
	cachemetadata "github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/worker/base"
	wlabel "github.com/moby/buildkit/worker/label"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"

	"dray/builder"
	"dray/builder/registry/snapshot"
)

// namespace is where BuildKit keeps its things in the metadata store.
const namespace = "buildkit"

// undo is a stack of clean-ups, run last first.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }

func (u *undo) run() error {
	var all error
	for i := len(*u) - 1; i >= 0; i-- {
		all = errors.Join(all, (*u)[i]())
	}
	*u = nil
	return all
}

// newWorker assembles the one worker: content and snapshots below root, RUN
// steps on the given OCI runtime, in the machine's network namespace.
func newWorker(ctx context.Context, root string, o Embedded, closers *undo) (*base.Worker, error) {
	name := snapshotter(root, o.Snapshotter)
	root = filepath.Join(root, name)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := removeLeftovers(ctx, executorDir(root), o.Runtime); err != nil {
		return nil, fmt.Errorf("cleaning up after a builder that was killed: %w", err)
	}
	storage, err := openStorage(ctx, root, name, closers)
	if err != nil {
		return nil, fmt.Errorf("opening the build cache in %s: %w", root, err)
	}
	monitor, err := resources.NewMonitor()
	if err != nil {
		return nil, err
	}
	providers := map[pb.NetMode]network.Provider{
		pb.NetMode_UNSET: network.NewHostProvider(),
		pb.NetMode_HOST:  network.NewHostProvider(),
		pb.NetMode_NONE:  network.NewNoneProvider(),
	}
	run, err := newExecutor(root, o, monitor, providers)
	if err != nil {
		return nil, err
	}
	id, err := base.ID(root)
	if err != nil {
		return nil, err
	}
	hosts, err := registryHosts(o.Mirrors)
	if err != nil {
		return nil, err
	}
	return base.NewWorker(ctx, base.WorkerOpt{
		ID:               id,
		Root:             root,
		Labels:           map[string]string{wlabel.Executor: "oci", wlabel.Snapshotter: name, wlabel.Network: "host"},
		Platforms:        []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())},
		GCPolicy:         gcPolicy(int64(o.Keep), o.KeepFor.D()),
		BuildkitVersion:  client.BuildkitVersion{Package: "dray", Version: o.Version},
		NetworkProviders: providers,
		Executor:         run,
		Snapshotter:      containerdsnapshot.NewSnapshotter(name, storage.db.Snapshotter(name), namespace, nil),
		ContentStore:     storage.content,
		Applier:          apply.NewFileSystemApplier(storage.content),
		Differ:           &layerDiffer{store: storage.content, latest: builder.LayerTime},
		RegistryHosts:    hosts,
		LeaseManager:     leaseutil.WithNamespace(metadata.NewLeaseManager(storage.db), namespace),
		GarbageCollect:   storage.db.GarbageCollect,
		MetadataStore:    storage.records,
		MountPoolRoot:    filepath.Join(root, "cachemounts"),
		ResourceMonitor:  monitor,
	})
}

// storage is what the worker keeps on disk.
type storage struct {
	db      *metadata.DB
	content *containerdsnapshot.Store
	records *cachemetadata.Store
}

func openStorage(ctx context.Context, root, name string, closers *undo) (storage, error) {
	blobs, err := local.NewStore(filepath.Join(root, "content"))
	if err != nil {
		return storage{}, err
	}
	snapshots, err := newSnapshotter(ctx, name, filepath.Join(root, "snapshots"))
	if err != nil {
		return storage{}, err
	}
	closers.add(snapshots.Close)
	bolt, err := bbolt.Open(filepath.Join(root, "containerdmeta.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return storage{}, err
	}
	closers.add(bolt.Close)
	db := metadata.NewDB(bolt, blobs, map[string]snapshotterOf{name: snapshots})
	if err := db.Init(ctx); err != nil {
		return storage{}, err
	}
	records, err := cachemetadata.NewStore(filepath.Join(root, "metadata_v2.db"))
	if err != nil {
		return storage{}, err
	}
	return storage{db: db, content: containerdsnapshot.NewContentStore(db.ContentStore(), namespace), records: records}, nil
}

type snapshotterOf = snapshots.Snapshotter

// snapshotter returns the wanted one, or overlayfs where the file system of
// root carries it, or native, which copies.
func snapshotter(root, wanted string) string {
	switch {
	case wanted != "":
		return wanted
	case overlayutils.Supported(root) == nil:
		return "overlayfs"
	default:
		return "native"
	}
}

func newSnapshotter(ctx context.Context, name, dir string) (snapshots.Snapshotter, error) {
	switch name {
	case "overlayfs":
		return snapshot.Overlay(ctx, dir, overlay.AsynchronousRemove)
	case "native":
		return snapshot.Native(ctx, dir)
	default:
		return nil, fmt.Errorf("snapshotter %q is not known: use overlayfs or native", name)
	}
}

func executorDir(root string) string { return filepath.Join(root, "executor") }

// newExecutor runs steps on the OCI runtime, each in its own cgroup below
// o.CgroupParent.
func newExecutor(root string, o Embedded, monitor *resources.Monitor, providers map[pb.NetMode]network.Provider) (executor.Executor, error) {
	return runcexecutor.New(runcexecutor.Opt{
		Root:                executorDir(root),
		CommandCandidates:   []string{o.Runtime},
		DefaultCgroupParent: o.CgroupParent,
		ProcessMode:         oci.ProcessSandbox,
		ResourceMonitor:     monitor,
	}, providers)
}
