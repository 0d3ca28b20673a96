package engineapi

import (
	"cmp"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	netapi "github.com/moby/moby/api/types/network"

	"dray/pipeline"
	hostapi "dray/targets/api"
	"dray/targets/runtime"
	"dray/targets/store"
)

// inspect is GET /containers/{id}/json.
func (a *API) inspect(w http.ResponseWriter, r *http.Request) error {
	c, err := a.container(r)
	if err != nil {
		return err
	}
	view := a.look(r.Context())
	image := view.images[c.Spec.Image] // it may have been collected; the container says enough then
	argv := commandOf(c.Spec, image)
	answer := container.InspectResponse{
		ID: c.ID, Created: c.CreatedAt.UTC().Format(time.RFC3339Nano), Path: argv[0], Args: argv[1:],
		State: fullState(c), Image: c.Spec.Image, Name: "/" + c.Spec.Name, RestartCount: c.Restarts,
		Driver: "overlay2", Platform: "linux", ExecIDs: nil,
		LogPath:    filepath.Join(a.Root, "containers", c.ID, "logs", "log"),
		HostConfig: hostConfig(c.Spec), Config: config(c.Spec, image), Mounts: mountPoints(c.Spec),
		NetworkSettings: &container.NetworkSettings{
			SandboxID: c.ID, SandboxKey: "/run/dray/netns/" + c.ID, Ports: view.portMap(c), Networks: view.endpoints(c),
		},
	}
	if flag(r, "size") {
		own, whole := a.sizes(r.Context(), c)
		answer.SizeRw, answer.SizeRootFs = &own, &whole
	}
	return ok(w, answer)
}

// commandOf returns the argument vector of a container; never empty.
func commandOf(s runtime.Spec, image store.Image) []string {
	entrypoint, command := s.Entrypoint, s.Command
	if entrypoint == nil {
		entrypoint = image.Config.Config.Entrypoint
		if command == nil {
			command = image.Config.Config.Cmd
		}
	}
	argv := append(append([]string{}, entrypoint...), command...)
	if len(argv) == 0 {
		return []string{""}
	}
	return argv
}

func fullState(c runtime.Container) *container.State {
	status := stateOf(c)
	s := &container.State{
		Status: status, Running: live(c) || status == container.StateRestarting, Paused: c.State == runtime.Paused,
		Restarting: status == container.StateRestarting, OOMKilled: c.OOMKilled, ExitCode: c.ExitCode, Error: c.Error,
		StartedAt: instant(c.Started), FinishedAt: instant(c.Finished),
	}
	if live(c) {
		s.Pid = c.Pid
	}
	if c.Spec.Check != nil && c.Health.Status != "" {
		s.Health = &container.Health{Status: healthOf(c), FailingStreak: c.Health.Failing, Log: []*container.HealthcheckResult{}}
		if c.Health.Tries > 0 {
			last := &container.HealthcheckResult{Start: c.Health.Since, End: c.Health.Since, Output: c.Health.Last}
			if c.Health.Status != hostapi.HealthHealthy || c.Health.Failing > 0 {
				last.ExitCode = 1
			}
			s.Health.Log = append(s.Health.Log, last)
		}
	}
	return s
}

// instant is a time as the Engine writes it; one that never was is the year 1.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (v view) portMap(c runtime.Container) netapi.PortMap {
	ports := netapi.PortMap{}
	for _, p := range v.portsOf(c) {
		port, valid := netapi.PortFrom(p.PrivatePort, netapi.IPProtocol(p.Type))
		if !valid {
			continue
		}
		if p.PublicPort == 0 {
			ports[port] = nil
			continue
		}
		ports[port] = append(ports[port], netapi.PortBinding{HostIP: p.IP, HostPort: strconv.Itoa(int(p.PublicPort))})
	}
	return ports
}

func config(s runtime.Spec, image store.Image) *container.Config {
	base := image.Config.Config
	c := &container.Config{
		Hostname: s.Hostname, User: first(s.User, base.User), Tty: s.TTY, OpenStdin: s.OpenStdin,
		AttachStdout: true, AttachStderr: true, Env: append(append([]string{}, base.Env...), s.Env...),
		Cmd: s.Command, Entrypoint: s.Entrypoint, Image: first(s.ImageName, s.Image),
		WorkingDir: first(s.WorkDir, base.WorkingDir), Labels: orEmpty(s.Labels), StopSignal: first(s.StopSignal, base.StopSignal),
	}
	if s.Entrypoint == nil {
		c.Entrypoint = base.Entrypoint
		if s.Command == nil {
			c.Cmd = base.Cmd
		}
	}
	if s.StopGrace > 0 {
		seconds := int(s.StopGrace.D().Seconds())
		c.StopTimeout = &seconds
	}
	if check := s.Check; check != nil {
		c.Healthcheck = &container.HealthConfig{
			Test: checkCommand(check), Interval: check.Interval.D(), Timeout: check.Timeout.D(), StartPeriod: check.StartPeriod.D(), Retries: check.Retries,
		}
	}
	return c
}

// checkCommand shows a check in the Engine's form, which knows commands only.
func checkCommand(c *runtime.Check) []string {
	switch c.Type {
	case pipeline.CheckHTTP:
		return []string{"NONE", "http", ":" + strconv.Itoa(c.Port) + c.Path}
	case pipeline.CheckTCP:
		return []string{"NONE", "tcp", ":" + strconv.Itoa(c.Port)}
	}
	return append([]string{"CMD"}, c.Command...)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func hostConfig(s runtime.Spec) *container.HostConfig {
	h := &container.HostConfig{
		NetworkMode: container.NetworkMode(networkMode(s)), ReadonlyRootfs: s.ReadOnly, CapAdd: s.CapAdd, CapDrop: s.CapDrop,
		RestartPolicy: restartPolicy(s.Restart), LogConfig: container.LogConfig{Type: "json-file"}, AutoRemove: s.Labels[labelAutoRemove] != "",
		ShmSize: int64(cmp.Or(s.ShmSize, runtime.DefaultShmSize)),
		IpcMode: "private", CgroupnsMode: "private", Runtime: runtimeName(s.Security), SecurityOpt: securityOptions(s.Security),
		Resources: container.Resources{NanoCPUs: int64(s.Resources.CPU * 1e9), Memory: int64(s.Resources.Memory)},
	}
	if s.Init {
		h.Init = &s.Init
	}
	if s.Resources.Memory > 0 {
		h.MemorySwap = h.Memory
	}
	if s.Resources.Pids > 0 {
		h.PidsLimit = &s.Resources.Pids
	}
	for _, m := range s.Mounts {
		bind := m.Source + ":" + m.Destination
		if m.ReadOnly {
			bind += ":ro"
		}
		h.Binds = append(h.Binds, bind)
	}
	for _, text := range s.Tmpfs {
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		path, options, _ := strings.Cut(text, ":")
		h.Tmpfs[path] = options
	}
	return h
}

func restartPolicy(r pipeline.Restart) container.RestartPolicy {
	switch r.Policy {
	case pipeline.RestartAlways:
		return container.RestartPolicy{Name: container.RestartPolicyAlways}
	case pipeline.RestartOnFailure:
		return container.RestartPolicy{Name: container.RestartPolicyOnFailure, MaximumRetryCount: r.Attempts}
	}
	return container.RestartPolicy{Name: container.RestartPolicyDisabled}
}
