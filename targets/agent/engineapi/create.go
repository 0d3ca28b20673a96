package engineapi

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	netapi "github.com/moby/moby/api/types/network"

	"dray/pipeline"
	"dray/targets/runtime"
)

const (
	// labelAutoRemove marks a container that is removed when it ends.
	labelAutoRemove = "dray.autoremove"
	// labelPrefix begins the labels that are dray's own.
	labelPrefix = "dray."
	// adhoc is the network of containers that name none.
	adhoc = "bridge"
)

// create is POST /containers/create: a container of no release, from an image
// that is on the host. What it asks for and dray does not have is refused.
func (a *API) create(w http.ResponseWriter, r *http.Request) error {
	req := container.CreateRequest{Config: &container.Config{}, HostConfig: &container.HostConfig{}}
	if err := read(r, &req); err != nil {
		return err
	}
	if req.HostConfig == nil {
		req.HostConfig = &container.HostConfig{}
	}
	if refused := unsupported(req); len(refused) > 0 {
		return fault(http.StatusNotImplemented, "dray does not do this: %s", strings.Join(refused, ", "))
	}
	image, err := a.findImage(r.Context(), req.Image)
	if err != nil {
		return err
	}
	spec, err := a.specOf(r, req)
	if err != nil {
		return err
	}
	spec.Image, spec.ImageName = image.Digest.String(), req.Image
	if spec.Name == "" {
		spec.Name = a.freeName(image.Name)
	}
	if spec.Network != "" && spec.Network != adhoc && !slices.ContainsFunc(a.Networks.List(), isNamed(spec.Network)) {
		return fault(http.StatusNotFound, "network %s not found", spec.Network)
	}
	c, err := a.Engine.Create(r.Context(), spec)
	if err != nil {
		return err
	}
	respond(w, http.StatusCreated, container.CreateResponse{ID: c.ID, Warnings: []string{}})
	return nil
}

// unsupported names the fields that are set and not honoured.
func unsupported(req container.CreateRequest) []string {
	c, h := req.Config, req.HostConfig
	never := false
	fields := map[string]bool{
		"Config.Domainname": c.Domainname != "",
		"Config.Volumes (anonymous volumes; bind a folder instead)": len(c.Volumes) > 0,
		"PortBindings (publish a port with a service)":              len(h.PortBindings) > 0 || h.PublishAllPorts,
		"VolumeDriver": h.VolumeDriver != "",
		"VolumesFrom":  len(h.VolumesFrom) > 0,
		"Annotations":  len(h.Annotations) > 0,
		"Dns":          len(h.DNS) > 0 || len(h.DNSOptions) > 0 || len(h.DNSSearch) > 0,
		"ExtraHosts":   len(h.ExtraHosts) > 0,
		"GroupAdd":     len(h.GroupAdd) > 0,
		"IpcMode":      h.IpcMode != "" && h.IpcMode != "private",
		"Cgroup":       h.Cgroup != "",
		"CgroupnsMode": h.CgroupnsMode != "" && h.CgroupnsMode != "private",
		"CgroupParent": h.CgroupParent != "",
		"Links":        len(h.Links) > 0,
		"OomScoreAdj":  h.OomScoreAdj != 0,
		"PidMode":      h.PidMode != "" && h.PidMode != "private",
		"Privileged":   h.Privileged,
		"StorageOpt":   len(h.StorageOpt) > 0,
		"UTSMode":      h.UTSMode != "" && h.UTSMode != "private",
		"UsernsMode":   h.UsernsMode != "",
		"Sysctls":      len(h.Sysctls) > 0,
		"Runtime (write its path in the service's security block)": h.Runtime != "" && h.Runtime != "dray-oci",
		"Isolation":         !h.Isolation.IsDefault(),
		"MaskedPaths":       len(h.MaskedPaths) > 0,
		"ReadonlyPaths":     len(h.ReadonlyPaths) > 0,
		"LogConfig":         h.LogConfig.Type != "" && h.LogConfig.Type != "json-file" || len(h.LogConfig.Config) > 0,
		"CpuShares":         h.CPUShares != 0,
		"CpuPeriod":         h.CPUPeriod != 0 || h.CPUQuota != 0,
		"Cpuset":            h.CpusetCpus != "" || h.CpusetMems != "",
		"Blkio":             h.BlkioWeight != 0 || len(h.BlkioWeightDevice)+len(h.BlkioDeviceReadBps)+len(h.BlkioDeviceWriteBps)+len(h.BlkioDeviceReadIOps)+len(h.BlkioDeviceWriteIOps) > 0,
		"Devices":           len(h.Devices)+len(h.DeviceCgroupRules)+len(h.DeviceRequests) > 0,
		"MemoryReservation": h.MemoryReservation != 0,
		"MemorySwap":        h.MemorySwap != 0 && h.MemorySwap != h.Memory,
		"MemorySwappiness":  h.MemorySwappiness != nil && *h.MemorySwappiness != -1,
		"OomKillDisable":    h.OomKillDisable != nil && *h.OomKillDisable != never,
		"Ulimits":           len(h.Ulimits) > 0,
		"NetworkMode":       h.NetworkMode.IsHost() || h.NetworkMode.IsContainer(),
	}
	for name, e := range endpoints(req.NetworkingConfig) {
		fields["an address or an alias in network "+name] = e != nil && (e.IPAMConfig != nil && (e.IPAMConfig.IPv4Address.IsValid() || e.IPAMConfig.IPv6Address.IsValid()) || len(e.Links)+len(e.Aliases) > 0 || len(e.MacAddress) > 0)
	}
	fields["more than one network"] = len(endpoints(req.NetworkingConfig)) > 1
	maps.DeleteFunc(fields, func(_ string, set bool) bool { return !set })
	return slices.Sorted(maps.Keys(fields))
}

func endpoints(n *netapi.NetworkingConfig) map[string]*netapi.EndpointSettings {
	if n == nil {
		return nil
	}
	return n.EndpointsConfig
}

// specOf turns the request into a Spec, but for its image.
func (a *API) specOf(r *http.Request, req container.CreateRequest) (runtime.Spec, error) {
	c, h := req.Config, req.HostConfig
	s := runtime.Spec{
		Name: strings.TrimPrefix(r.FormValue("name"), "/"), Labels: maps.Clone(orEmpty(c.Labels)), Hostname: c.Hostname,
		Entrypoint: c.Entrypoint, Command: c.Cmd, Env: c.Env, User: c.User, WorkDir: c.WorkingDir, ReadOnly: h.ReadonlyRootfs,
		CapAdd: withoutCap(h.CapAdd), CapDrop: withoutCap(h.CapDrop), TTY: c.Tty, OpenStdin: c.OpenStdin, StopSignal: c.StopSignal,
		Resources: pipeline.Resources{CPU: float64(h.NanoCPUs) / 1e9, Memory: pipeline.Bytes(h.Memory)},
		Network:   networkOf(req), ShmSize: pipeline.Bytes(h.ShmSize),
	}
	for name := range s.Labels {
		if strings.HasPrefix(name, labelPrefix) {
			return s, fault(http.StatusBadRequest, "label %s: labels that begin with %q are dray's own", name, labelPrefix)
		}
	}
	if h.AutoRemove {
		s.Labels[labelAutoRemove] = "true"
	}
	if h.PidsLimit != nil && *h.PidsLimit > 0 {
		s.Resources.Pids = *h.PidsLimit
	}
	if c.StopTimeout != nil {
		s.StopGrace = pipeline.Duration(time.Duration(*c.StopTimeout) * time.Second)
	}
	switch h.RestartPolicy.Name {
	case "", container.RestartPolicyDisabled:
		s.Restart.Policy = pipeline.RestartNever
	case container.RestartPolicyAlways, container.RestartPolicyUnlessStopped:
		s.Restart.Policy = pipeline.RestartAlways
	case container.RestartPolicyOnFailure:
		s.Restart = pipeline.Restart{Policy: pipeline.RestartOnFailure, Attempts: h.RestartPolicy.MaximumRetryCount}
	default:
		return s, fault(http.StatusBadRequest, "invalid restart policy: unknown policy '%s'", h.RestartPolicy.Name)
	}
	if h.AutoRemove && s.Restart.Policy != pipeline.RestartNever {
		return s, fault(http.StatusBadRequest, "can't set 'AutoRemove' with a restart policy")
	}
	s.Init = h.Init != nil && *h.Init
	var err error
	if s.Security, err = securityOf(h.SecurityOpt); err != nil {
		return s, err
	}
	if check := c.Healthcheck; check != nil && len(check.Test) > 0 {
		if s.Check = runtime.CheckOf(check, c.Shell); s.Check == nil {
			s.Check = &runtime.Check{Type: pipeline.CheckNone}
		}
	}
	if s.Mounts, s.Tmpfs, err = a.mountsOf(r, h); err != nil {
		return s, err
	}
	for _, text := range s.Tmpfs {
		if _, err := pipeline.ParseTmpfs(text); err != nil {
			return s, fault(http.StatusBadRequest, "%v", err)
		}
	}
	return s, nil
}

// withoutCap cuts "CAP_" off capabilities.
func withoutCap(names []string) []string {
	var short []string
	for _, n := range names {
		short = append(short, strings.TrimPrefix(strings.ToUpper(n), "CAP_"))
	}
	return short
}

func networkOf(req container.CreateRequest) string {
	mode := string(req.HostConfig.NetworkMode)
	if mode == "none" || req.NetworkDisabled {
		return ""
	}
	if mode == "" || mode == "default" {
		for name := range endpoints(req.NetworkingConfig) {
			mode = name
		}
	}
	if mode == "" || mode == "default" {
		return adhoc
	}
	return mode
}

// mountsOf reads binds ("SOURCE:DESTINATION[:ro]") and mounts. A source that is
// no path is a named volume of the ad-hoc network, or NETWORK/NAME.
func (a *API) mountsOf(r *http.Request, h *container.HostConfig) ([]runtime.Mount, []string, error) {
	var mounts []runtime.Mount
	var tmpfs []string
	for _, path := range slices.Sorted(maps.Keys(h.Tmpfs)) {
		tmpfs = append(tmpfs, tmpfsText(path, h.Tmpfs[path]))
	}
	for _, bind := range h.Binds {
		source, rest, _ := strings.Cut(bind, ":")
		destination, options, _ := strings.Cut(rest, ":")
		readOnly, relabel := false, ""
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "ro":
				readOnly = true
			case "z":
				relabel = runtime.RelabelShared
			case "Z":
				relabel = runtime.RelabelPrivate
			case "", "rw", "rprivate":
			default:
				return nil, nil, fault(http.StatusNotImplemented, "dray does not do this: option %q of bind %s", option, bind)
			}
		}
		if destination == "" {
			return nil, nil, fault(http.StatusBadRequest, "invalid volume specification: '%s'", bind)
		}
		path, err := a.sourceOf(r, source)
		if err != nil {
			return nil, nil, err
		}
		mounts = append(mounts, runtime.Mount{Source: path, Destination: destination, ReadOnly: readOnly, Relabel: relabel})
	}
	for _, m := range h.Mounts {
		switch m.Type {
		case mount.TypeBind, mount.TypeVolume:
			path, err := a.sourceOf(r, m.Source)
			if err != nil {
				return nil, nil, err
			}
			mounts = append(mounts, runtime.Mount{Source: path, Destination: m.Target, ReadOnly: m.ReadOnly})
		case mount.TypeTmpfs:
			tmpfs = append(tmpfs, tmpfsText(m.Target, tmpfsOptions(m.TmpfsOptions)))
		default:
			return nil, nil, fault(http.StatusNotImplemented, "dray does not do this: a mount of type %q", m.Type)
		}
	}
	return mounts, tmpfs, nil
}

// tmpfsText is a file system in memory as pipeline.ParseTmpfs reads it.
func tmpfsText(path, options string) string {
	return strings.TrimSuffix(path+":"+options, ":")
}

func tmpfsOptions(o *mount.TmpfsOptions) string {
	if o == nil {
		return ""
	}
	var options []string
	if o.SizeBytes > 0 {
		options = append(options, fmt.Sprintf("size=%d", o.SizeBytes))
	}
	if o.Mode != 0 {
		options = append(options, fmt.Sprintf("mode=%04o", o.Mode))
	}
	for _, words := range o.Options {
		options = append(options, strings.Join(words, "="))
	}
	return strings.Join(options, ",")
}

func (a *API) sourceOf(r *http.Request, source string) (string, error) {
	if filepath.IsAbs(source) {
		return source, nil
	}
	owner, name, given := strings.Cut(source, "/")
	if !given {
		owner, name = adhoc, source
	}
	return a.Volumes.Ensure(r.Context(), owner, name)
}

// freeName makes a name of an image's: "busybox-1".
func (a *API) freeName(image string) string {
	repository, _ := splitName(image)
	base := first(repository[strings.LastIndexByte(repository, '/')+1:], "container")
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%d", base, n)
		if _, err := a.Engine.Get(name); err != nil {
			return name
		}
	}
}
