package agent

import (
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
	cleanUpTime  = 30 * time.Second // to stop and remove a task's container
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
		beside, end, err := e.operations.acquireShared(ctx, "task "+name, e.holder(req.Fence))
		if err != nil {
			return nil, err
		}
		defer end()
		ctx = beside
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
	run := &journal.Run{Key: req.Key, TaskRun: api.TaskRun{Task: name, ReleaseRef: api.RefTo(w.Release), Trigger: api.TaskByHand, Actor: req.Actor}}
	if req.Deployment != "" {
		run.Trigger = api.TaskByHook
	}
	return a.runOnce(ctx, w, &task, run)
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

// runOnce runs a task unless a run with its key has ended, or is under way:
// then that one is waited for.
func (a *Agent) runOnce(ctx context.Context, w *work, task *pipeline.Task, run *journal.Run) (*api.TaskRun, error) {
	done, mine := a.inFlight(w.e.key(), run.Key)
	if !mine {
		select {
		case <-done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	} else {
		defer a.landed(w.e.key(), run.Key)
	}
	if run.Key != "" {
		before, err := a.taskRun(w.e, func(r *journal.Run) bool { return r.Key == run.Key && !r.Ended.IsZero() })
		if err != nil || before != nil {
			return before, err
		}
	}
	run.Started = time.Now().Round(0)
	id, err := a.recordTask(w.e, "", run)
	if err != nil {
		return nil, err
	}
	fault := a.execute(ctx, w, task, run, id)
	run.Ended = time.Now().Round(0)
	if fault != nil && run.Reason == "" {
		run.Reason = fault.Error()
	}
	run.Reason = a.redactor().String(run.Reason)
	if _, err := a.recordTask(w.e, id, run); err != nil {
		return nil, err
	}
	return &run.TaskRun, fault
}

// execute runs the task's container to its end. What the task did is in run;
// an error means that it could not be run.
func (a *Agent) execute(ctx context.Context, w *work, task *pipeline.Task, run *journal.Run, id string) error {
	c, err := a.createTask(ctx, w, task, id)
	if err != nil {
		return fmt.Errorf("creating the container of task %s: %w", task.Name, err)
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		defer cancel()
		if err := a.endTask(clean, w.e, c); err != nil {
			a.log.Warn("removing the container of a task", "container", c.Spec.Name, "error", err)
		}
	}()
	running := ctx
	if task.Timeout > 0 {
		var cancel context.CancelFunc
		running, cancel = context.WithTimeoutCause(ctx, task.Timeout.D(), errTimedOut)
		defer cancel()
	}
	if err := a.parts.Containers.Start(running, c.ID); err != nil {
		return fmt.Errorf("starting task %s: %w", task.Name, err)
	}
	last := a.followTask(running, w, task, c.ID)
	ended, err := a.parts.Containers.Wait(running, c.ID)
	run.Logs = last()
	switch {
	case errors.Is(context.Cause(running), errTimedOut):
		run.TimedOut, run.ExitCode = true, 124 // as timeout(1) says it
		run.Reason = fmt.Sprintf("it did not end within %s", task.Timeout)
		return nil
	case err != nil:
		return fmt.Errorf("waiting for task %s: %w", task.Name, err)
	}
	run.ExitCode = ended.ExitCode
	if ended.OOMKilled {
		run.Reason = fmt.Sprintf("it used more than its %s of memory", task.Resources.Memory)
	}
	return nil
}

// followTask passes what the task writes to the client, until it has ended.
// The returned function waits for that and gives the last lines.
func (a *Agent) followTask(ctx context.Context, w *work, task *pipeline.Task, id string) func() []string {
	var last []string
	redactor := a.redactor()
	ended := make(chan struct{})
	a.start(ctx, func(context.Context) {
		defer close(ended)
		err := a.parts.Logs.Follow(ctx, id, func(stream, text string) {
			text = redactor.String(text)
			w.sink.Emit(event.Event{Type: event.Output, Stage: "task", Subject: "task " + task.Name, Stream: stream, Text: text})
			last = append(last, text)
			if len(last) > lastLines {
				last = last[1:]
			}
		})
		if err != nil && ctx.Err() == nil {
			a.log.Warn("following a task's output", "task", task.Name, "error", err)
		}
	})
	return func() []string {
		<-ended
		return last
	}
}

func (a *Agent) createTask(ctx context.Context, w *work, t *pipeline.Task, id string) (runtime.Container, error) {
	image := w.release.Images[taskPrefix+t.Name]
	p := placed{instance: taskPrefix + t.Name, index: 1, image: image, service: &pipeline.Service{
		Name: t.Name, Entrypoint: t.Entrypoint, Command: t.Command, WorkDir: t.WorkDir, User: t.User,
		Metadata: t.Metadata, Env: t.Env, Secrets: t.Secrets, Volumes: t.Volumes, Resources: t.Resources,
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

// inFlight registers a run under its key. Where one is under way, mine is
// false and done is closed at its end.
func (a *Agent) inFlight(environment, key string) (done chan struct{}, mine bool) {
	if key == "" {
		return nil, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if done = a.tasks[environment+"/"+key]; done != nil {
		return done, false
	}
	done = make(chan struct{})
	a.tasks[environment+"/"+key] = done
	return done, true
}

func (a *Agent) landed(environment, key string) {
	if key == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.tasks[environment+"/"+key])
	delete(a.tasks, environment+"/"+key)
}
