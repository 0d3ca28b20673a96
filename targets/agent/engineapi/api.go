package engineapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	hostapi "dray/targets/api"
	"dray/targets/logs"
	"dray/targets/network"
	"dray/targets/runtime"
	"dray/targets/store"
	"dray/targets/volume"
)

// Version is the newest version of the Engine API that is spoken, minVersion
// the oldest that is asked for by name.
const (
	Version    = "1.51"
	minVersion = "1.24"
)

// Engine is what the API needs of the engine; *runtime.Engine is one. It is
// larger than an interface should be because the API is the engine's face.
type Engine interface {
	List() []runtime.Container
	Get(idOrName string) (runtime.Container, error)
	Create(ctx context.Context, spec runtime.Spec) (runtime.Container, error)
	Start(ctx context.Context, idOrName string) error
	Stop(ctx context.Context, idOrName string, grace *time.Duration) error
	Restart(ctx context.Context, idOrName string, grace *time.Duration) error
	Kill(ctx context.Context, idOrName, signal string) error
	Pause(ctx context.Context, idOrName string) error
	Unpause(ctx context.Context, idOrName string) error
	Remove(ctx context.Context, idOrName string, force bool) error
	Wait(ctx context.Context, idOrName, condition string, ready func()) (runtime.Container, error)
	Attach(ctx context.Context, idOrName string, streams runtime.Streams, ready func()) error
	Join(idOrName string, stdin, stdout, stderr bool) (*runtime.Attachment, error)
	Resize(idOrName string, rows, cols uint16) error
	Logs(ctx context.Context, idOrName string, q logs.Query, each func(logs.Record) error) error
	Stats(idOrName string) (runtime.Stats, error)
	Top(idOrName string) ([]runtime.Process, error)
	ExecCreate(idOrName string, config runtime.ExecConfig) (string, error)
	ExecInspect(id string) (runtime.Exec, error)
	ExecStart(ctx context.Context, id string, streams runtime.Streams) error
	ExecDetached(ctx context.Context, id string) error
	ExecResize(id string, rows, cols uint16) error
	Subscribe(ctx context.Context) <-chan runtime.Change
}

// Images is what is needed of the image store; *store.Store is one.
type Images interface {
	Images(ctx context.Context) ([]store.Image, error)
	Usage(ctx context.Context, containerID string) (bytes, inodes int64, err error)
}

// Networks is what is needed of the networks; *network.Networks is one.
type Networks interface {
	List() []network.Info
	Services() []network.Service
	HostAddresses(p network.Port) []netip.Addr
}

// Volumes is what is needed of the volumes; *volume.Store is one.
type Volumes interface {
	All() ([]volume.Volume, error)
	Ensure(ctx context.Context, network, name string) (string, error)
	Usage(ctx context.Context, network, name string) (int64, error)
	Remove(ctx context.Context, network, name string) error
}

// Config says what an API shows.
type Config struct {
	Engine   Engine
	Images   Images
	Networks Networks
	Volumes  Volumes
	Host     func() hostapi.Host
	Root     string // the state folder, /var/lib/dray
	Log      *slog.Logger
}

// API serves the Engine API of one host.
type API struct {
	Config
	mux    *http.ServeMux
	events *history
}

// New returns an API. It serves at once; events of the past and containers
// that remove themselves need Run.
func New(c Config) *API {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{Config: c, mux: http.NewServeMux(), events: newHistory()}
	a.routes()
	return a
}

// handler is a handler that may fail before it has written anything.
type handler func(w http.ResponseWriter, r *http.Request) error

func (a *API) routes() {
	for pattern, h := range a.handlers() {
		a.mux.Handle(pattern, a.failing(h))
	}
	a.mux.Handle("/", a.failing(elsewhere))
}

// Patterns lists the routes of the API, as patterns of http.ServeMux.
func Patterns() []string { return slices.Sorted(maps.Keys((&API{}).handlers())) }

func (a *API) handlers() map[string]handler {
	return map[string]handler{
		"GET /_ping":                     a.ping, // HEAD too
		"GET /version":                   a.version,
		"GET /info":                      a.info,
		"GET /events":                    a.streamEvents,
		"GET /system/df":                 a.diskUsage,
		"GET /containers/json":           a.list,
		"POST /containers/create":        a.create,
		"GET /containers/{id}/json":      a.inspect,
		"GET /containers/{id}/logs":      a.logs,
		"GET /containers/{id}/stats":     a.stats,
		"GET /containers/{id}/top":       a.top,
		"POST /containers/{id}/start":    a.start,
		"POST /containers/{id}/stop":     a.stop,
		"POST /containers/{id}/restart":  a.restart,
		"POST /containers/{id}/kill":     a.kill,
		"POST /containers/{id}/pause":    a.pause,
		"POST /containers/{id}/unpause":  a.unpause,
		"POST /containers/{id}/wait":     a.wait,
		"POST /containers/{id}/attach":   a.attach,
		"POST /containers/{id}/resize":   a.resize,
		"DELETE /containers/{id}":        a.remove,
		"POST /containers/{id}/exec":     a.execCreate,
		"POST /exec/{id}/start":          a.execStart,
		"POST /exec/{id}/resize":         a.execResize,
		"GET /exec/{id}/json":            a.execInspect,
		"GET /images/json":               a.imageList,
		"GET /images/{name...}":          a.imageInspect,
		"GET /networks":                  a.networkList,
		"GET /networks/{id}":             a.networkInspect,
		"GET /volumes":                   a.volumeList,
		"GET /volumes/{name...}":         a.volumeInspect,
		"DELETE /volumes/{name...}":      a.volumeRemove,
		"POST /containers/{id}/rename":   refuse("a container's name belongs to its release"),
		"POST /containers/{id}/update":   refuse("change the service's resources in dray.hcl and deploy"),
		"GET /containers/{id}/attach/ws": refuse("attach without a web socket"),
		"POST /containers/prune":         refuse("use dray prune"),
		"POST /images/create":            refuse("images come to a host with a deployment; use an image that is here (docker images)"),
		"POST /images/prune":             refuse("use dray prune"),
		"POST /build":                    refuse("use dray build"),
		"POST /networks/create":          refuse("a network comes with its environment"),
		"POST /volumes/create":           refuse("a volume comes with its service"),
		"POST /auth":                     refuse("registries are declared in dray.hcl"),
		"GET /swarm":                     refuse("there is no swarm"),
	}
}

// engineCalls are the beginnings of the Engine API's calls, but for plugins:
// "docker inspect" looks for one of any name.
var engineCalls = []string{"containers", "images", "networks", "volumes", "exec", "swarm", "nodes", "services", "tasks", "secrets", "configs", "distribution", "commit", "session", "grpc", "system"}

// elsewhere answers what no other handler takes: a call of the Engine API that
// dray does not have, or none at all.
func elsewhere(_ http.ResponseWriter, r *http.Request) error {
	call, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if slices.Contains(engineCalls, call) {
		return fault(http.StatusNotImplemented, "dray does not do this: %s %s", r.Method, r.URL.Path)
	}
	return fault(http.StatusNotFound, "page not found")
}

func refuse(instead string) handler {
	return func(http.ResponseWriter, *http.Request) error {
		return fault(http.StatusNotImplemented, "dray does not do this: %s", instead)
	}
}

var versionPath = regexp.MustCompile(`^/v(1\.[0-9]+)(/.*)$`)

// Unversioned takes the version off the path of a call.
func Unversioned(path string) string {
	if found := versionPath.FindStringSubmatch(path); found != nil {
		return found[2]
	}
	return path
}

// ServeHTTP serves a call of the Engine API, "/v1.47/containers/json" or
// "/containers/json".
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.identify(w)
	found := versionPath.FindStringSubmatch(r.URL.Path)
	if found == nil {
		a.mux.ServeHTTP(w, r)
		return
	}
	switch {
	case newer(found[1], Version):
		respondError(w, fault(http.StatusBadRequest, "client version %s is too new. Maximum supported API version is %s", found[1], Version))
		return
	case newer(minVersion, found[1]):
		respondError(w, fault(http.StatusBadRequest, "client version %s is too old. Minimum supported API version is %s", found[1], minVersion))
		return
	}
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = found[2], ""
	a.mux.ServeHTTP(w, inner)
}

// newer says whether version a, "1.N", is newer than b.
func newer(a, b string) bool {
	minor := func(s string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(s, "1.")) // digits: the pattern says so
		return n
	}
	return minor(a) > minor(b)
}

// identify sets what every answer carries.
func (a *API) identify(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Api-Version", Version)
	h.Set("Ostype", "linux")
	h.Set("Docker-Experimental", "false")
	h.Set("Server", "dray/"+a.Host().Version+" (linux)")
}

func (a *API) failing(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			respondError(w, err)
		}
	})
}
