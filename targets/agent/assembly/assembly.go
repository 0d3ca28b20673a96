// Package assembly puts the parts of a host together for the agent: the store,
// the networks, the engine, supervision and volumes, each opened in the order
// in which it needs the others.
//
// Not here: what the parts do, and what the agent does with them.
package assembly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sync/errgroup"

	"dray/builder/registry"
	"dray/pipeline/secret"
	"dray/targets/agent"
	"dray/targets/agent/engineapi"
	"dray/targets/api"
	"dray/targets/network"
	"dray/targets/runtime"
	"dray/targets/store"
	"dray/targets/supervise"
	"dray/targets/volume"
)

// Config says where a host keeps things.
type Config struct {
	State string // /var/lib/dray
	Run   string // /run/dray
	OCI   string // path of dray-oci
	Log   *slog.Logger
}

// Host is the parts of one host, put together.
type Host struct {
	Store    *store.Store
	Networks *network.Networks
	Engine   *runtime.Engine
	Health   *supervise.Supervisor
	Volumes  *volume.Store

	config  Config
	images  *images
	renamed chan string // networks whose names have changed
}

// Open opens the parts. They start nothing before Run, beyond bringing the
// kernel's tables to what they say.
func Open(ctx context.Context, c Config) (_ *Host, err error) {
	// containerd's libraries have a log of their own, which tells of features
	// of file systems that are not there.
	if err := log.SetLevel("error"); err != nil {
		return nil, err
	}
	h := &Host{config: c, renamed: make(chan string, 64)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	// What is pulled is retained at once, so garbage need not be spared for a while.
	options := store.Options{Log: c.Log, Grace: time.Nanosecond}
	if h.Store, err = store.Open(filepath.Join(c.State, "store"), options); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	h.images = &images{Store: h.Store}
	if err := clearFills(ctx, h.Store, c.Run); err != nil {
		c.Log.Error("clearing up after a volume that was being filled", "error", err)
	}
	h.Networks, err = network.Open(network.Config{
		Dir: filepath.Join(c.State, "network"), RunDir: filepath.Join(c.Run, "netns"), Changed: h.noteNames, Log: c.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the networks: %w", err)
	}
	h.Engine, err = runtime.New(runtime.Config{
		Root: filepath.Join(c.State, "containers"), RunDir: filepath.Join(c.Run, "containers"), OCI: c.OCI,
		Images: roots{h.Store}, Networks: attachments{h.Networks}, Secrets: secrets{filepath.Join(c.State, "secrets")}, Log: c.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the engine: %w", err)
	}
	if err := h.Engine.Recover(ctx); err != nil {
		return nil, fmt.Errorf("finding the containers of before: %w", err)
	}
	h.Health = supervise.New(h.Engine, c.Log)
	if h.Volumes, err = volume.Open(filepath.Join(c.State, "volumes"), users(h.Engine)); err != nil {
		return nil, fmt.Errorf("opening the volumes: %w", err)
	}
	return h, nil
}

// Parts returns what the agent works with.
func (h *Host) Parts() agent.Parts {
	return agent.Parts{
		Containers: containers{h.Engine, h.Networks},
		Health:     h.Health,
		Logs:       output{filepath.Join(h.config.State, "containers"), h.Engine},
		Images:     h.images,
		Traffic:    traffic{h.Networks, h.Engine},
		Volumes:    volumes{h.Volumes, h.Store, h.config.Run, &sync.Mutex{}},
	}
}

// Registry serves the store's content by the distribution protocol, read
// only.
func (h *Host) Registry() http.Handler {
	return registry.Handler(h.Store.Source(), registry.HandlerOptions{Log: h.config.Log})
}

// EngineAPI serves the Docker Engine API over the parts.
func (h *Host) EngineAPI(facts func() api.Host) *engineapi.API {
	return engineapi.New(engineapi.Config{
		Engine: h.Engine, Images: h.Store, Networks: h.Networks, Volumes: h.Volumes,
		Host: facts, Root: h.config.State, Log: h.config.Log,
	})
}

// Run watches over the containers until ctx ends.
func (h *Host) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.Engine.Run(ctx) })
	group.Go(func() error { return h.Health.Run(ctx) })
	group.Go(func() error { return h.Networks.Run(ctx) })
	group.Go(func() error { return h.tellNames(ctx) })
	group.Go(func() error { return h.severEnded(ctx) })
	return group.Wait()
}

// Close lets go of everything; containers and networks stay as they are.
func (h *Host) Close() error {
	var faults []error
	if h.Networks != nil {
		faults = append(faults, h.Networks.Close())
	}
	if h.Store != nil {
		faults = append(faults, h.Store.Close())
	}
	return errors.Join(faults...)
}

// noteNames is told that a network's names have changed. It may be called
// while the engine works on a container, so the names are written later.
func (h *Host) noteNames(name string) {
	select {
	case h.renamed <- name:
	default:
		h.config.Log.Warn("too many changes of names at once: some containers learn of them at their next start", "network", name)
	}
}

// tellNames rewrites /etc/hosts of the containers of networks whose names have
// changed.
func (h *Host) tellNames(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-h.renamed:
			if err := setHosts(ctx, h.Engine, h.Networks, name); err != nil && ctx.Err() == nil {
				h.config.Log.Warn("telling containers the names of services", "network", name, "error", err)
			}
		}
	}
}

// severEnded lets go of connections to containers that have ended.
func (h *Host) severEnded(ctx context.Context) error {
	for change := range h.Engine.Subscribe(ctx) {
		c := change.Container
		if change.Action != "die" || !c.Address.IsValid() {
			continue
		}
		if err := h.Networks.Forget(context.WithoutCancel(ctx), c.Address); err != nil {
			h.config.Log.Warn("letting go of connections to a container that has ended", "container", c.Spec.Name, "error", err)
		}
	}
	return nil
}

// secrets reads the values that the agent keeps.
type secrets struct{ dir string }

// Value implements runtime.Secrets.
func (s secrets) Value(version string) (secret.Value, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, filepath.Base(version)))
	if err != nil {
		return secret.Value{}, fmt.Errorf("reading a secret: %w", err)
	}
	return secret.NewValue(string(text)), nil
}
