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
// ended or the client has gone. ctx is the agent's own: when it ends, the run
// goes on without the agent, and its client finds it again at the next one.
func (a *Agent) runService(ctx, client context.Context, e *environment, service string, req api.RunService, sink event.Sink) (*api.ServiceRun, error) {
	joined, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	defer context.AfterFunc(client, func() { leave(errAbandoned) })()
	c, err := a.findRun(joined, e, service, req)
	var fault *runtime.CommandError
	switch {
	case errors.As(err, &fault):
		return &api.ServiceRun{ExitCode: fault.ExitCode(), Reason: fault.Reason, NotStarted: fault.Command}, nil
	case err != nil:
		return nil, err
	}
	ended, err := a.awaitRun(joined, c, req.Rejoin, func(state string) {
		release, _, _ := parseNumber(c.Spec.Labels[runtime.LabelRelease]) // dray wrote it
		sink.Emit(event.Event{Type: event.InstanceState, Project: e.project, Environment: e.name, Release: release.Number, Revision: release.Revision,
			Service: service, Instance: service + runSuffix, Subject: c.ID, State: state})
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	clean, cancel := context.WithTimeout(ctx, c.Spec.StopGrace.D()+cleanUpTime)
	defer cancel()
	if err := errors.Join(a.parts.Containers.Stop(clean, c.ID), a.parts.Containers.Remove(clean, c.ID)); err != nil {
		a.log.Warn("removing a container that was run by hand", "container", c.Spec.Name, "error", err)
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for %s: %w", c.Spec.Name, err)
	}
	run := &api.ServiceRun{ExitCode: ended.ExitCode, Reason: ended.Error}
	if ended.OOMKilled {
		run.Reason = fmt.Sprintf("it used more than its %s of memory", c.Spec.Resources.Memory)
	}
	return run, nil
}

// findRun returns the container of a run: a new one, or the one that a client
// comes back for. That one is never made anew: its program may have run.
func (a *Agent) findRun(ctx context.Context, e *environment, service string, req api.RunService) (runtime.Container, error) {
	if req.Rejoin {
		for _, c := range a.containersOf(e) {
			if req.Key != "" && c.Spec.Labels[runtime.LabelRunKey] == req.Key {
				return c, nil
			}
		}
		return runtime.Container{}, api.Errorf(api.CodeNotFound, "the run of %s is not there any more: how it ended is not known", service)
	}
	w, err := a.releaseFor(e, "", event.Discard)
	if err != nil {
		return runtime.Container{}, err
	}
	i := slices.IndexFunc(w.placed, func(p placed) bool { return p.service.Name == service })
	if i < 0 {
		return runtime.Container{}, api.Errorf(api.CodeNotFound, "%s has no instance of %s on this host", releaseWord(w.Release), service)
	}
	c, err := a.createRun(ctx, w, w.placed[i], req)
	if err != nil {
		return c, fmt.Errorf("creating a container of %s: %w", service, err)
	}
	return c, nil
}

// awaitRun waits for the end of a run by hand, and tells its state once no end
// would be missed.
func (a *Agent) awaitRun(ctx context.Context, c runtime.Container, rejoined bool, tell func(state string)) (runtime.Container, error) {
	if rejoined {
		tell(event.Starting)
		return a.awaitEnd(ctx, c.ID)
	}
	return a.parts.Containers.WaitEnd(ctx, c.ID, func() { tell(event.Staged) })
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
	if req.Key != "" {
		spec.Labels[runtime.LabelRunKey] = req.Key
	}
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
