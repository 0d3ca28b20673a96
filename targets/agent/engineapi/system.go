package engineapi

import (
	"io"
	"net/http"
	goruntime "runtime"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	volapi "github.com/moby/moby/api/types/volume"

	"dray/targets/runtime"
)

// ping is GET and HEAD /_ping. Everything that it says is in the head.
func (a *API) ping(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Builder-Version", "1")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK") // a client that has gone does not mind
	return nil
}

// version is GET /version.
func (a *API) version(w http.ResponseWriter, _ *http.Request) error {
	host := a.Host()
	details := map[string]string{
		"ApiVersion": Version, "MinAPIVersion": minVersion, "Arch": host.Arch, "Os": "linux", "KernelVersion": host.Kernel, "GoVersion": goruntime.Version(),
	}
	return ok(w, system.VersionResponse{
		Platform: system.PlatformInfo{Name: "dray"}, Version: host.Version, APIVersion: Version, MinAPIVersion: minVersion,
		Os: "linux", Arch: host.Arch, KernelVersion: host.Kernel, GoVersion: goruntime.Version(),
		Components: []system.ComponentVersion{{Name: "drayd", Version: host.Version, Details: details}},
	})
}

// info is GET /info.
func (a *API) info(w http.ResponseWriter, r *http.Request) error {
	host := a.Host()
	i := system.Info{
		ID: host.ID, Name: host.Hostname, ServerVersion: host.Version, Driver: "overlay2", LoggingDriver: "json-file",
		CgroupDriver: "cgroupfs", CgroupVersion: strconv.Itoa(host.CgroupVersion), KernelVersion: host.Kernel, OperatingSystem: host.OS,
		OSType: "linux", Architecture: architecture(host.Arch), NCPU: host.CPUs, MemTotal: host.MemoryTotal, DockerRootDir: a.Root,
		SystemTime: time.Now().Format(time.RFC3339Nano), IPv4Forwarding: true, NGoroutines: goruntime.NumGoroutine(),
		Runtimes: map[string]system.RuntimeWithStatus{"dray-oci": {}}, DefaultRuntime: "dray-oci", LiveRestoreEnabled: true,
		SecurityOptions: hostSecurity(host), Labels: []string{}, Warnings: []string{},
		Plugins: system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge"}, Log: []string{"json-file"}},
	}
	for _, limit := range host.Limits {
		switch limit {
		case "memory":
			i.MemoryLimit, i.SwapLimit = true, true
		case "cpu":
			i.CPUCfsPeriod, i.CPUCfsQuota, i.CPUShares = true, true, true
		case "pids":
			i.PidsLimit = true
		}
	}
	for _, c := range a.Engine.List() {
		i.Containers++
		switch c.State {
		case runtime.Running:
			i.ContainersRunning++
		case runtime.Paused:
			i.ContainersPaused++
		default:
			i.ContainersStopped++
		}
	}
	images, err := a.Images.Images(r.Context())
	if err != nil {
		return err
	}
	i.Images = len(images)
	return ok(w, i)
}

// architecture is a GOARCH as uname has it.
func architecture(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return goarch
}

// usage is the answer of /system/df, with the fields of older clients beside
// the new ones.
type usage struct {
	system.DiskUsage
	LayersSize  int64
	Images      []image.Summary
	Containers  []container.Summary
	Volumes     []volapi.Volume
	BuildCache  []build.CacheRecord
	BuilderSize int64
}

// diskUsage is GET /system/df.
func (a *API) diskUsage(w http.ResponseWriter, r *http.Request) error {
	u := usage{Images: []image.Summary{}, Containers: []container.Summary{}, Volumes: []volapi.Volume{}, BuildCache: []build.CacheRecord{}}
	images, err := a.imageSummaries(r.Context())
	if err != nil {
		return err
	}
	u.ImageUsage = &image.DiskUsage{Items: images, TotalCount: int64(len(images))}
	for _, i := range images {
		u.LayersSize += i.Size
		if i.Containers > 0 {
			u.ImageUsage.ActiveCount++
		} else {
			u.ImageUsage.Reclaimable += i.Size
		}
	}
	u.Images, u.ImageUsage.TotalSize = images, u.LayersSize
	a.containerUsage(r, &u)
	if err := a.volumeUsage(r, &u); err != nil {
		return err
	}
	u.BuildCacheUsage = &build.DiskUsage{}
	return ok(w, u)
}

func (a *API) containerUsage(r *http.Request, u *usage) {
	u.ContainerUsage = &container.DiskUsage{}
	view := a.look(r.Context())
	for _, c := range a.Engine.List() {
		s := view.summary(c)
		s.SizeRw, s.SizeRootFs = a.sizes(r.Context(), c)
		u.Containers = append(u.Containers, s)
		u.ContainerUsage.TotalCount++
		u.ContainerUsage.TotalSize += s.SizeRw
		if live(c) {
			u.ContainerUsage.ActiveCount++
		} else {
			u.ContainerUsage.Reclaimable += s.SizeRw
		}
	}
	u.ContainerUsage.Items = u.Containers
}

func (a *API) volumeUsage(r *http.Request, u *usage) error {
	volumes, err := a.Volumes.All()
	if err != nil {
		return err
	}
	users := map[string]int64{}
	for _, c := range a.Engine.List() {
		for _, m := range c.Spec.Mounts {
			users[m.Source]++
		}
	}
	u.VolumeUsage = &volapi.DiskUsage{}
	for _, v := range volumes {
		d := describeVolume(v)
		size, err := a.Volumes.Usage(r.Context(), v.Network, v.Name)
		if err != nil {
			return err
		}
		d.UsageData = &volapi.UsageData{RefCount: users[v.Path], Size: size}
		u.Volumes = append(u.Volumes, d)
		u.VolumeUsage.TotalCount++
		u.VolumeUsage.TotalSize += size
		if users[v.Path] > 0 {
			u.VolumeUsage.ActiveCount++
		} else {
			u.VolumeUsage.Reclaimable += size
		}
	}
	u.VolumeUsage.Items = u.Volumes
	return nil
}
