package engineapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	units "github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	netapi "github.com/moby/moby/api/types/network"

	hostapi "dray/targets/api"
	"dray/targets/network"
	"dray/targets/runtime"
	"dray/targets/store"
)

// list is GET /containers/json.
func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r.FormValue("filters"), "label", "name", "status", "id", "health", "network", "ancestor", "exited", "publish", "volume", "before", "since", "is-task", "expose")
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", 0)
	if err != nil {
		return err
	}
	all := flag(r, "all") || limit > 0 || len(f["status"]) > 0 || len(f["exited"]) > 0
	view := a.look(r.Context())
	found := a.Engine.List()
	slices.Reverse(found) // the newest first
	summaries := []container.Summary{}
	for _, c := range found {
		if !all && !live(c) || !f.match(c) {
			continue
		}
		if limit > 0 && len(summaries) == limit {
			break
		}
		s := view.summary(c)
		if flag(r, "size") {
			s.SizeRw, s.SizeRootFs = a.sizes(r.Context(), c)
		}
		summaries = append(summaries, s)
	}
	return ok(w, summaries)
}

// live says whether "docker ps" shows a container without --all.
func live(c runtime.Container) bool { return c.State == runtime.Running || c.State == runtime.Paused }

// match says whether a container passes the filters of a list.
func (f filters) match(c runtime.Container) bool {
	return f.labels(c.Spec.Labels) &&
		f.any("name", func(v string) bool { return strings.Contains(c.Spec.Name, strings.Trim(v, "/^$")) }) &&
		f.any("id", func(v string) bool { return strings.HasPrefix(c.ID, v) }) &&
		f.is("status", string(stateOf(c))) &&
		f.is("health", string(healthOf(c))) &&
		f.is("network", c.Spec.Network) &&
		f.any("ancestor", func(v string) bool { return v == c.Spec.ImageName || v == c.Spec.Image }) &&
		f.any("exited", func(v string) bool { return c.State == runtime.Exited && v == strconv.Itoa(c.ExitCode) }) &&
		f.any("volume", func(v string) bool {
			return slices.ContainsFunc(c.Spec.Mounts, func(m runtime.Mount) bool { return m.Source == v || m.Destination == v })
		})
}

// stateOf is a container's state in the Engine's words. One that was created
// or has ended and is brought back by its policy counts as restarting.
func stateOf(c runtime.Container) container.ContainerState {
	if c.RunsAgain() {
		return container.StateRestarting
	}
	if c.State == runtime.Broken {
		return container.StateDead
	}
	return container.ContainerState(c.State)
}

func healthOf(c runtime.Container) container.HealthStatus {
	if c.Spec.Check == nil || c.Health.Status == "" {
		return container.NoHealthcheck
	}
	return container.HealthStatus(c.Health.Status)
}

// statusLine is the status that "docker ps" prints.
func statusLine(c runtime.Container) string {
	ago := func(t time.Time) string { return units.HumanDuration(time.Since(t)) }
	switch stateOf(c) {
	case container.StateRunning:
		line := "Up " + ago(c.Started)
		switch c.Health.Status {
		case hostapi.HealthHealthy, hostapi.HealthUnhealthy:
			line += " (" + c.Health.Status + ")"
		case hostapi.HealthStarting:
			line += " (health: starting)"
		}
		return line
	case container.StatePaused:
		return "Up " + ago(c.Started) + " (Paused)"
	case container.StateCreated:
		return "Created"
	case container.StateDead:
		return "Dead (broken: " + c.Error + ")"
	case container.StateRestarting:
		return fmt.Sprintf("Restarting (%d) %s ago", c.ExitCode, ago(c.Finished))
	}
	if c.Finished.IsZero() {
		return "Created" // its process is gone, as after a reboot
	}
	return fmt.Sprintf("Exited (%d) %s ago", c.ExitCode, ago(c.Finished))
}

// view is what lies around containers, looked at once for a whole answer.
type view struct {
	ports    map[string][]container.PortSummary // by the container's address
	gateways map[string]netapi.EndpointSettings // by network
	images   map[string]store.Image             // by digest
}

func (a *API) look(ctx context.Context) view {
	v := view{map[string][]container.PortSummary{}, map[string]netapi.EndpointSettings{}, map[string]store.Image{}}
	images, err := a.Images.Images(ctx)
	if err != nil {
		a.Log.Warn("listing images", "error", err) // containers are shown without what their image says
	}
	for _, i := range images {
		v.images[i.Digest.String()], v.images[i.Manifest.String()] = i, i
	}
	for _, s := range a.Networks.Services() {
		for _, b := range s.Backends {
			ports := b.Ports
			if ports == nil {
				ports = s.Ports
			}
			for _, p := range ports {
				at := b.Address.String()
				v.ports[at] = append(v.ports[at], a.bindings(p)...)
			}
		}
	}
	for _, n := range a.Networks.List() {
		v.gateways[n.Name] = netapi.EndpointSettings{NetworkID: networkID(n.Name), Gateway: n.Gateway, IPPrefixLen: n.Subnet.Bits()}
	}
	return v
}

// bindings are a port of a container as it is published: once for each address of
// the host.
func (a *API) bindings(p network.Port) []container.PortSummary {
	at := a.Networks.HostAddresses(p)
	if len(at) == 0 { // not published, or at an interface without an address
		return []container.PortSummary{{PrivatePort: p.To, Type: p.Protocol}}
	}
	list := make([]container.PortSummary, len(at))
	for i, address := range at {
		list[i] = container.PortSummary{IP: address, PrivatePort: p.To, PublicPort: p.Publish, Type: p.Protocol}
	}
	return list
}

func (v view) summary(c runtime.Container) container.Summary {
	s := container.Summary{
		ID: c.ID, Names: []string{"/" + c.Spec.Name}, Image: imageName(c), ImageID: c.Spec.Image,
		Command: v.commandLine(c), Created: c.CreatedAt.Unix(), Ports: v.portsOf(c),
		Labels: orEmpty(c.Spec.Labels), State: stateOf(c), Status: statusLine(c),
		Health:          &container.HealthSummary{Status: healthOf(c), FailingStreak: c.Health.Failing},
		NetworkSettings: &container.NetworkSettingsSummary{Networks: v.endpoints(c)},
		Mounts:          mountPoints(c.Spec),
	}
	s.HostConfig.NetworkMode = networkMode(c.Spec)
	return s
}

func (v view) portsOf(c runtime.Container) []container.PortSummary {
	if ports := v.ports[c.Address.String()]; c.State == runtime.Running && ports != nil {
		return ports
	}
	return []container.PortSummary{}
}

// endpoints is a container's place in its network.
func (v view) endpoints(c runtime.Container) map[string]*netapi.EndpointSettings {
	if c.Spec.Network == "" {
		return map[string]*netapi.EndpointSettings{"none": {NetworkID: networkID("none")}}
	}
	e := v.gateways[c.Spec.Network]
	e.NetworkID, e.EndpointID, e.IPAddress = networkID(c.Spec.Network), c.ID, c.Address
	e.DNSNames = []string{c.Spec.Hostname}
	return map[string]*netapi.EndpointSettings{c.Spec.Network: &e}
}

func networkMode(s runtime.Spec) string {
	if s.Network == "" {
		return "none"
	}
	return s.Network
}

func imageName(c runtime.Container) string {
	if c.Spec.ImageName != "" {
		return c.Spec.ImageName
	}
	return c.Spec.Image
}

// commandLine is what a container runs, in one line; words with spaces are
// quoted.
func (v view) commandLine(c runtime.Container) string {
	argv := commandOf(c.Spec, v.images[c.Spec.Image])
	for i, word := range argv {
		if strings.Contains(word, " ") {
			argv[i] = "'" + word + "'"
		}
	}
	return strings.Join(argv, " ")
}

func mountPoints(s runtime.Spec) []container.MountPoint {
	points := []container.MountPoint{}
	for _, m := range s.Mounts {
		mode := ""
		if m.ReadOnly {
			mode = "ro"
		}
		points = append(points, container.MountPoint{
			Type: mount.TypeBind, Source: m.Source, Destination: m.Destination, Mode: mode, RW: !m.ReadOnly, Propagation: mount.PropagationRPrivate,
		})
	}
	return points
}

// sizes returns what a container wrote, and that with its image.
func (a *API) sizes(ctx context.Context, c runtime.Container) (own, whole int64) {
	own, _, err := a.Images.Usage(ctx, c.ID)
	if err != nil {
		a.Log.Debug("measuring a container", "container", c.Spec.Name, "error", err) // shown as 0
	}
	whole = own
	if image, err := a.findImage(ctx, c.Spec.Image); err == nil {
		whole += image.Unpacked
	}
	return own, whole
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
