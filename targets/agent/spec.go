package agent

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
)

// defaultGrace is how long a task gets between SIGTERM and SIGKILL.
const defaultGrace = pipeline.Duration(10e9)

// placed is one instance of a release on this host.
type placed struct {
	instance    string // "web/2"
	index       int
	service     *pipeline.Service
	image       api.Image
	fingerprint string
}

// placedOn returns the instances of a release that run on a host, sorted.
func placedOn(r *api.Release, host string) ([]placed, error) {
	services := map[string]*pipeline.Service{}
	for i := range r.Services {
		services[r.Services[i].Name] = &r.Services[i]
	}
	var all []placed
	for _, name := range r.Placement[host] {
		if strings.HasPrefix(name, taskPrefix) {
			continue
		}
		service, index, err := parseInstance(name)
		if err != nil {
			return nil, err
		}
		s := services[service]
		if s == nil {
			return nil, api.Errorf(api.CodeBadRequest, "%s places %s on %s but has no service %q", releaseWord(r.ReleaseNumber()), name, host, service)
		}
		p := placed{instance: name, index: index, service: s, image: r.Images[service]}
		p.fingerprint = r.ContainerFingerprint(service)
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b placed) int { return strings.Compare(a.instance, b.instance) })
	return all, nil
}

// parseInstance reads "web/2".
func parseInstance(name string) (service string, index int, err error) {
	service, number, _ := strings.Cut(name, "/")
	index, err = strconv.Atoi(number)
	if err != nil || index < 1 || !validName.MatchString(service) {
		return "", 0, api.Errorf(api.CodeBadRequest, "%q is not an instance; it should read like web/1", name)
	}
	return service, index, nil
}

// containerSpec returns what the container of an instance is.
func (a *Agent) containerSpec(e *environment, r *api.Release, deployment string, p placed, volumes map[string]string) runtime.Spec {
	s := p.service
	spec := runtime.Spec{
		Name:  fmt.Sprintf("%s-%s-%d.r%s", joinedName(e.project, e.name), s.Name, p.index, r.ReleaseNumber()),
		Image: p.image.Digest, ImageName: p.image.Name,
		Labels: map[string]string{}, Hostname: fmt.Sprintf("%s-%d", s.Name, p.index),
		Entrypoint: s.Entrypoint, Command: s.Command, Env: environ(s.Env),
		Secrets: secretUses(s.Secrets, r.Secrets),
		User:    s.User, WorkDir: s.WorkDir, ReadOnly: s.ReadOnly, CapAdd: s.CapAdd, CapDrop: s.CapDrop,
		Mounts: mounts(s.Volumes, volumes), Tmpfs: slices.Sorted(slices.Values(s.Tmpfs)), ShmSize: s.ShmSize, // parents first
		Security: s.Security, Init: s.Init, Resources: s.Resources,
		Network: e.network(), Metadata: s.Metadata, Restart: s.Restart, Check: check(s),
		StopSignal: s.Stop.Signal, StopGrace: s.Stop.Grace,
	}
	maps.Copy(spec.Labels, s.Labels)
	maps.Copy(spec.Labels, map[string]string{
		runtime.LabelProject: e.project, runtime.LabelEnvironment: e.name,
		runtime.LabelService: s.Name, runtime.LabelInstance: p.instance,
		runtime.LabelRelease: r.ReleaseNumber().String(), runtime.LabelDeployment: deployment,
		labelFingerprint: p.fingerprint,
	})
	return spec
}

func environ(vars map[string]string) []string {
	out := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		out = append(out, k+"="+vars[k])
	}
	return out
}

func secretUses(secrets []pipeline.Secret, versions map[string]string) []runtime.SecretUse {
	var out []runtime.SecretUse
	for _, s := range secrets {
		out = append(out, runtime.SecretUse{Version: versions[s.Name], Env: s.Env, File: s.File})
	}
	return out
}

// mounts binds the volumes; paths holds where the named ones are.
func mounts(volumes []pipeline.Volume, paths map[string]string) []runtime.Mount {
	var out []runtime.Mount
	for _, v := range volumes {
		m := runtime.Mount{Source: v.Source, Destination: v.Destination, ReadOnly: v.ReadOnly}
		if v.Source == "" {
			m.Source, m.Relabel = paths[v.Name], runtime.RelabelVolume
		}
		out = append(out, m)
	}
	return out
}

// check resolves the port of a service's check.
func check(s *pipeline.Service) *runtime.Check {
	c := s.Check
	if c == nil {
		return nil
	}
	out := &runtime.Check{
		Type: c.Type, Path: c.Path, Command: c.Command, Interval: c.Interval,
		Timeout: c.Timeout, StartPeriod: c.StartPeriod, Retries: c.Retries, RestartAfter: c.RestartAfter,
	}
	if port := s.Port(c.Port); port != nil {
		out.Port = port.To
	}
	return out
}
