package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"dray/pipeline/secret"
	"dray/targets/logs"
	"dray/targets/runtime/confine"

	"github.com/containerd/containerd/v2/core/mount"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// Faults that callers branch on; test with errors.Is.
var (
	ErrNotFound = errors.New("no such container")
	ErrExists   = errors.New("the name is in use")
	ErrState    = errors.New("the container's state does not allow it")
)

// Images gives the engine what it needs of the image store. targets/store
// implements it.
type Images interface {
	// Config returns the configuration of the image with that digest.
	Config(ctx context.Context, digest string) (dockerspec.DockerOCIImage, error)
	// Mounts returns what makes a container's root file system, making its
	// writable layer if there is none yet.
	Mounts(ctx context.Context, containerID, digest string) ([]mount.Mount, error)
	// Remove drops the writable layer. One that does not exist is no error.
	Remove(ctx context.Context, containerID string) error
}

// Networks gives containers their place in a network. targets/network
// implements it. Both calls can be repeated: Attach then answers the same.
type Networks interface {
	Attach(ctx context.Context, r NetworkRequest) (Endpoint, error)
	Detach(ctx context.Context, network, containerID string) error
}

// NetworkRequest is the place in a network that a container asks for.
type NetworkRequest struct {
	Network, Container string
	Metadata           bool // it may reach 169.254.0.0/16
}

// Endpoint is a container's place in a network.
type Endpoint struct {
	NetnsPath   string // of its network namespace
	Address     netip.Addr
	Hosts       []HostEntry  // for its /etc/hosts
	Nameservers []netip.Addr // nil: those of the host that aren't loopback
}

// HostEntry is one line of /etc/hosts.
type HostEntry struct {
	Address netip.Addr
	Names   []string
}

// Secrets gives secret values by their version.
type Secrets interface {
	Value(version string) (secret.Value, error)
}

// Config says what an Engine works with.
type Config struct {
	Root         string   // state that survives a reboot; /var/lib/dray/containers
	RunDir       string   // state that does not; /run/dray/containers
	OCI          string   // path of dray-oci; a Spec may name another one
	OCIRoot      string   // its state; "" is oci beside RunDir
	Shim         []string // argv that starts a shim, to which its folder is added; nil is OCI and "shim"
	CgroupParent string   // "" is /dray
	LogLimits    logs.Limits
	Images       Images
	Networks     Networks
	Secrets      Secrets
	Log          *slog.Logger

	Confine     func() confine.Facts            // what the host confines containers with; nil looks
	LoadProfile func(ctx context.Context) error // has the kernel know confine.DefaultProfile; nil does it
}

// An Engine runs the containers of one host. All its methods are safe for
// concurrent use.
type Engine struct {
	Config
	bootID string
	group  owner
	pid1   initFile
	starts gate

	mu         sync.RWMutex
	containers map[string]*container // by id
	names      map[string]string     // name → id
	execs      map[string]*execution
	subscriber map[*subscription]struct{}
}

// New returns an Engine. It does nothing until Recover, and notices no exit
// until Run.
func New(c Config) (*Engine, error) {
	if c.OCIRoot == "" {
		c.OCIRoot = filepath.Join(filepath.Dir(c.RunDir), "oci")
	}
	if c.CgroupParent == "" {
		c.CgroupParent = "/dray"
	}
	if c.Shim == nil {
		c.Shim = []string{c.OCI, "shim"}
	}
	if c.Confine == nil {
		c.Confine = confine.Probe
	}
	if c.LoadProfile == nil {
		c.LoadProfile = confine.LoadDefault
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []string{c.Root, c.RunDir, c.OCIRoot} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("%q is not an absolute path", dir)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the engine's folders: %w", err)
		}
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("reading the boot id: %w", err)
	}
	return &Engine{
		Config:     c,
		bootID:     strings.TrimSpace(string(boot)),
		group:      owner{wake: make(chan struct{}, 1)},
		starts:     newGate(),
		containers: map[string]*container{},
		names:      map[string]string{},
		execs:      map[string]*execution{},
		subscriber: map[*subscription]struct{}{},
	}, nil
}

// Run watches the containers until ctx ends, and then returns nil. Containers
// go on.
func (e *Engine) Run(ctx context.Context) error {
	e.group.spawn(e.retryBroken)
	return e.group.run(ctx)
}

// Get returns a container by its id, its name, or the beginning of its id
// where only one has it.
func (e *Engine) Get(idOrName string) (Container, error) {
	c, err := e.find(idOrName)
	if err != nil {
		return Container{}, err
	}
	return c.snapshot(), nil
}

// List returns all containers, the oldest first.
func (e *Engine) List() []Container {
	e.mu.RLock()
	all := make([]Container, 0, len(e.containers))
	for _, c := range e.containers {
		all = append(all, c.snapshot())
	}
	e.mu.RUnlock()
	slices.SortFunc(all, func(a, b Container) int {
		if order := a.CreatedAt.Compare(b.CreatedAt); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

func (e *Engine) find(idOrName string) (*container, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	name := strings.TrimPrefix(idOrName, "/") // Docker's names begin with one
	if c, ok := e.containers[idOrName]; ok {
		return c, nil
	}
	if id, ok := e.names[name]; ok {
		return e.containers[id], nil
	}
	var found *container
	for id, c := range e.containers {
		if idOrName == "" || !strings.HasPrefix(id, idOrName) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: more than one begins with %s", ErrNotFound, idOrName)
		}
		found = c
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, idOrName)
	}
	return found, nil
}

// stateDir and runDir are a container's two folders.
func (e *Engine) stateDir(id string) string { return filepath.Join(e.Root, id) }
func (e *Engine) runDir(id string) string   { return filepath.Join(e.RunDir, id) }
func (e *Engine) logDir(id string) string   { return filepath.Join(e.stateDir(id), "logs") }
func (e *Engine) rootfs(id string) string   { return filepath.Join(e.runDir(id), "rootfs") }
