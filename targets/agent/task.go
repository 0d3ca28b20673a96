package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// taskPrefix is what the images of tasks, and their places, are named with in
// a release.
const taskPrefix = "task."

const (
	mostTaskRuns = 50               // kept in the history of one task
	cleanUpTime  = 30 * time.Second // to stop a task's container
)

// Exit codes of runs that have none of their own.
const (
	exitTimedOut   = 124 // as timeout(1) says it
	exitNotRun     = 125 // as docker run says it
	exitTerminated = 143 // 128 and SIGTERM: it was made to end
)

// errTimedOut is the cause with which a task is stopped.
var errTimedOut = errors.New("the task did not end in time")

// runsTasks says whether a task of a release runs on a host. A release without
// any placement runs its tasks wherever it is.
func runsTasks(r *api.Release, host, task string) bool {
	return len(r.Placement) == 0 || r.TaskHost(task) == host
}

// runTask runs a task for a client and waits for its end.
func (a *Agent) runTask(ctx context.Context, e *environment, name string, req api.RunTask, sink event.Sink) (*api.TaskRun, error) {
	if req.Fence != 0 {
		if err := e.held(req.Fence); err != nil {
			return nil, err
		}
	}
	w, err := a.releaseFor(e, req.Deployment, sink)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(w.release.Tasks, func(t pipeline.Task) bool { return t.Name == name })
	if i < 0 {
		return nil, api.Errorf(api.CodeNotFound, "%s of %s has no task %q", releaseWord(w.Release), e.name, name)
	}
	task := w.release.Tasks[i]
	if len(req.Command) > 0 {
		task.Command = req.Command
	}
	run := newRun(w, &task)
	run.Key, run.Fence, run.Trigger, run.Actor = req.Key, req.Fence, api.TaskByHand, req.Actor
	if req.Deployment != "" {
		run.Trigger = api.TaskByHook
	}
	return a.runOnce(ctx, w, &task, run, req.Seen)
}

func newRun(w *work, task *pipeline.Task) *journal.Run {
	return &journal.Run{
		Deployment: w.ID, Timeout: task.Timeout,
		TaskRun: api.TaskRun{Task: task.Name, ReleaseRef: api.RefTo(w.Release)},
	}
}

// releaseFor returns the deployment whose release is meant: one under way, or
// the current one.
func (a *Agent) releaseFor(e *environment, deployment string, sink event.Sink) (*work, error) {
	r, err := a.read(e)
	if err != nil {
		return nil, err
	}
	if deployment == "" {
		deployment = r.Current
	} else if deployment != r.Open && deployment != r.Current {
		return nil, api.Errorf(api.CodeConflict, "deployment %s is not under way", deployment)
	}
	if deployment == "" {
		return nil, api.Errorf(api.CodeNotFound, "no release of %s runs on this host", e.name)
	}
	return a.load(e, deployment, sink)
}

// runOnce runs a task unless a run with its key is under way or has ended: then
// that one is answered, with its output after the lines that were seen already.
func (a *Agent) runOnce(ctx context.Context, w *work, task *pipeline.Task, run *journal.Run, seen int) (*api.TaskRun, error) {
	flight, mine := a.takeOff(w.e, run.Key)
	if !mine {
		return a.joinRun(ctx, w, flight, run, seen)
	}
	defer a.land(flight)
	before, err := a.runWithKey(w.e, run.Key)
	if err != nil {
		return nil, err
	}
	if before != nil {
		a.passKept(ctx, w, before, seen)
		return &before.TaskRun, nil
	}
	working, end, err := w.e.whileLeased(ctx, run)
	if err != nil {
		return nil, err
	}
	defer end()
	run.Started = time.Now().Round(0)
	if err := a.recordNewRun(w.e, run); err != nil {
		return nil, err
	}
	c, err := a.startTask(working, w, task, run.ID)
	if err != nil {
		return nil, a.notRun(ctx, w.e, run, c, err)
	}
	flight.started(run.ID, c.ID)
	return a.attend(ctx, working, w.e, run, c, a.taskOutput(w, run.Task, 0))
}

// whileLeased returns a context that ends with the lease that a run belongs to,
// if it belongs to one.
func (e *environment) whileLeased(ctx context.Context, run *journal.Run) (context.Context, func(), error) {
	if run.Fence == 0 {
		return ctx, func() {}, nil
	}
	return e.operations.acquireShared(ctx, "task "+run.Task, e.holder(run.Fence))
}

// startTask makes a task's container and lets it go. With an error it returns
// the container too, if there is one.
func (a *Agent) startTask(ctx context.Context, w *work, task *pipeline.Task, id string) (runtime.Container, error) {
	c, err := a.createTask(ctx, w, task, id)
	if err != nil {
		return c, fmt.Errorf("creating the container of task %s: %w", task.Name, err)
	}
	if err := a.parts.Containers.Start(ctx, c.ID); err != nil {
		return c, fmt.Errorf("starting task %s: %w", task.Name, err)
	}
	return c, nil
}

// notRun ends a run whose program never began, and returns why. Its key may be
// used again.
func (a *Agent) notRun(ctx context.Context, e *environment, run *journal.Run, c runtime.Container, fault error) error {
	if ctx.Err() != nil {
		return fault // the agent ends; the next one finds what there is
	}
	run.ExitCode, run.Reason, run.Key = exitNotRun, fault.Error(), ""
	a.endRun(ctx, e, run, c)
	return fault
}

// attend waits for the end of a run and records it. ctx is the agent's own: when
// it ends, the run goes on without the agent, and the next one attends to it.
// When working ends, the run is made to end. What the task did is in the result;
// an error means that it was not run to its end.
func (a *Agent) attend(ctx, working context.Context, e *environment, run *journal.Run, c runtime.Container, line func(stream, text string)) (*api.TaskRun, error) {
	last := a.followTask(ctx, run.Task, c.ID, line)
	running, cancel := working, context.CancelFunc(func() {})
	if run.Timeout > 0 {
		left := run.Timeout.D() - min(max(time.Since(run.Started), 0), run.Timeout.D())
		running, cancel = context.WithTimeoutCause(working, left, errTimedOut)
	}
	defer cancel()
	ended, fault := a.awaitEnd(running, c.ID)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if fault != nil {
		ended = a.stopTask(ctx, c)
	}
	run.Logs = last()
	run.ExitCode = ended.ExitCode
	switch {
	case fault == nil && ended.OOMKilled:
		run.Reason = fmt.Sprintf("it used more than its %s of memory", c.Spec.Resources.Memory)
	case fault == nil:
		run.Reason = ended.Error
	case errors.Is(context.Cause(running), errTimedOut):
		run.TimedOut, run.ExitCode = true, exitTimedOut
		run.Reason = fmt.Sprintf("it did not end within %s", run.Timeout)
		fault = nil
	default:
		fault = fmt.Errorf("waiting for task %s: %w", run.Task, fault)
		run.Reason, run.Key = fault.Error(), ""
		run.ExitCode = cmp.Or(run.ExitCode, exitTerminated)
	}
	if !a.endRun(ctx, e, run, c) {
		return nil, context.Cause(ctx)
	}
	return &run.TaskRun, fault
}

// awaitEnd waits for the end of a container. One that is broken may run: it is
// looked at again until it is not broken any more.
func (a *Agent) awaitEnd(ctx context.Context, id string) (runtime.Container, error) {
	for {
		ended, err := a.parts.Containers.Wait(ctx, id)
		if err != nil || ended.State != runtime.Broken {
			return ended, err
		}
		select {
		case <-ctx.Done():
			return ended, context.Cause(ctx)
		case <-time.After(longestRetry):
		}
	}
}

// stopTask makes a run end, and returns how it did.
func (a *Agent) stopTask(ctx context.Context, c runtime.Container) runtime.Container {
	bound, cancel := context.WithTimeout(ctx, cleanUpTime)
	defer cancel()
	if err := a.parts.Containers.Stop(bound, c.ID); err != nil {
		a.log.Warn("stopping the container of a task", "container", c.Spec.Name, "error", err)
	}
	if now, exists := a.containers()[c.ID]; exists {
		return now
	}
	return c
}

// endRun keeps what a run wrote, records its end, and only then takes its
// container away: until the end is on disk, the container is what knows it. It
// tries until it is recorded, and reports false when ctx ended before.
func (a *Agent) endRun(ctx context.Context, e *environment, run *journal.Run, c runtime.Container) bool {
	if c.ID != "" {
		if err := a.keepTaskLog(e, c); err != nil {
			a.log.Warn("keeping the output of a task", "container", c.Spec.Name, "error", err)
		}
	}
	run.Ended = time.Now().Round(0)
	run.Reason = a.redactor().String(run.Reason)
	a.insist(ctx, e, "recording the end of a task", func(context.Context) error { return a.recordRun(e, run) })
	if ctx.Err() != nil {
		return false
	}
	if c.ID != "" {
		if err := a.removeRun(ctx, c); err != nil {
			a.log.Warn("removing the container of a task", "container", c.Spec.Name, "error", err)
		}
	}
	return true
}

// removeRun takes the container of a run away, of a task or by hand.
func (a *Agent) removeRun(ctx context.Context, c runtime.Container) error {
	bound, cancel := context.WithTimeout(ctx, cleanUpTime)
	defer cancel()
	return errors.Join(a.parts.Containers.Stop(bound, c.ID), a.parts.Containers.Remove(bound, c.ID))
}

func (a *Agent) createTask(ctx context.Context, w *work, t *pipeline.Task, id string) (runtime.Container, error) {
	image := w.release.Images[taskPrefix+t.Name]
	p := placed{instance: taskPrefix + t.Name, index: 1, image: image, service: &pipeline.Service{
		Name: t.Name, Entrypoint: t.Entrypoint, Command: t.Command, WorkDir: t.WorkDir, User: t.User,
		Metadata: t.Metadata, Env: t.Env, Secrets: t.Secrets, Volumes: t.Volumes,
		Security: t.Security, Init: t.Init, Resources: t.Resources,
		Check:   &pipeline.Check{Type: pipeline.CheckNone}, // it has passed when its command exits 0
		Restart: pipeline.Restart{Policy: pipeline.RestartNever}, Stop: pipeline.Stop{Grace: defaultGrace},
	}}
	if err := a.ensureNetwork(ctx, w); err != nil {
		return runtime.Container{}, err
	}
	volumes, err := a.volumes(ctx, w.e, image.Digest, t.Volumes)
	if err != nil {
		return runtime.Container{}, err
	}
	spec := a.containerSpec(w.e, w.release, w.ID, p, volumes)
	spec.Name = fmt.Sprintf("%s-task-%s.r%s.%s", joinedName(w.e.project, w.e.name), t.Name, w.Release, id)
	spec.Hostname = t.Name
	maps.DeleteFunc(spec.Labels, func(k, _ string) bool {
		return k == runtime.LabelService || k == runtime.LabelInstance || k == labelFingerprint
	})
	spec.Labels[runtime.LabelTask], spec.Labels[runtime.LabelTaskRun] = t.Name, id
	return a.parts.Containers.Create(ctx, spec)
}
