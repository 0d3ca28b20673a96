package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

// runSuffix is put behind a service's name to name its one-off containers.
const runSuffix = "/run"

// errAbandoned is the cause with which a one-off container is stopped.
var errAbandoned = errors.New("the client has gone")

// runService runs one more container of a service of the current release,
// which the client starts once it has its streams, and removes it when it has
// ended or ctx does.
func (a *Agent) runService(ctx context.Context, e *environment, service string, req api.RunService, sink event.Sink) (*api.ServiceRun, error) {
	w, err := a.releaseFor(e, "", event.Discard)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(w.placed, func(p placed) bool { return p.service.Name == service })
	if i < 0 {
		return nil, api.Errorf(api.CodeNotFound, "%s has no instance of %s on this host", releaseWord(w.Release), service)
	}
	c, err := a.createRun(ctx, w, w.placed[i], req)
	var fault *runtime.CommandError
	switch {
	case errors.As(err, &fault):
		return &api.ServiceRun{ExitCode: fault.ExitCode(), Reason: fault.Reason, NotStarted: fault.Command}, nil
	case err != nil:
		return nil, fmt.Errorf("creating a container of %s: %w", service, err)
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Spec.StopGrace.D()+cleanUpTime)
		defer cancel()
		if err := errors.Join(a.parts.Containers.Stop(clean, c.ID), a.parts.Containers.Remove(clean, c.ID)); err != nil {
			a.log.Warn("removing a container that was run by hand", "container", c.Spec.Name, "error", err)
		}
	}()
	ended, err := a.parts.Containers.WaitEnd(ctx, c.ID, func() {
		sink.Emit(event.Event{Type: event.InstanceState, Project: e.project, Environment: e.name, Release: w.Release.Number, Revision: w.Release.Revision,
			Service: service, Instance: service + runSuffix, Subject: c.ID, State: event.Staged})
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for %s: %w", c.Spec.Name, err)
	}
	run := &api.ServiceRun{ExitCode: ended.ExitCode, Reason: ended.Error}
	if ended.OOMKilled {
		run.Reason = fmt.Sprintf("it used more than its %s of memory", c.Spec.Resources.Memory)
	}
	return run, nil
}

// createRun makes the container: what the service's own have, without a place
// in the release. It belongs to no deployment, so that none takes it away.
func (a *Agent) createRun(ctx context.Context, w *work, p placed, req api.RunService) (runtime.Container, error) {
	if err := a.ensureNetwork(ctx, w); err != nil {
		return runtime.Container{}, err
	}
	volumes, err := a.volumes(ctx, w.e, p.image.Digest, p.service.Volumes)
	if err != nil {
		return runtime.Container{}, err
	}
	service := p.service.Name
	spec := a.containerSpec(w.e, w.release, w.ID, p, volumes)
	spec.Name = fmt.Sprintf("%s-%s-run.r%s.%s", joinedName(w.e.project, w.e.name), service, w.Release, strings.ToLower(rand.Text()[:8]))
	spec.Hostname = service + "-run"
	maps.DeleteFunc(spec.Labels, func(k, _ string) bool {
		return k == runtime.LabelService || k == runtime.LabelInstance || k == runtime.LabelDeployment || k == labelFingerprint
	})
	spec.Labels[runtime.LabelRun] = service
	spec.Check, spec.Restart = &runtime.Check{Type: pipeline.CheckNone}, pipeline.Restart{Policy: pipeline.RestartNever}
	spec.TTY, spec.OpenStdin = req.TTY, req.Stdin
	spec.Env = append(spec.Env, req.Env...)
	if len(req.Entrypoint) > 0 {
		spec.Entrypoint, spec.Command = req.Entrypoint, nil
	}
	if len(req.Command) > 0 {
		spec.Command = req.Command
	}
	if req.User != "" {
		spec.User = req.User
	}
	if req.WorkDir != "" {
		spec.WorkDir = req.WorkDir
	}
	return a.parts.Containers.Create(ctx, spec)
}
