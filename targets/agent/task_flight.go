package agent

import (
	"context"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
)

// flight is a run of a task under way.
type flight struct {
	name      string // its environment and key; "" where nobody can ask for it again
	run       string
	container string
	up, down  chan struct{} // closed when it runs, and when it has ended
}

// takeOff registers a run under its key. Where one is under way, that is
// returned, and mine is false.
func (a *Agent) takeOff(e *environment, key string) (f *flight, mine bool) {
	f = &flight{up: make(chan struct{}), down: make(chan struct{})}
	if key == "" {
		return f, true
	}
	f.name = e.key() + "/" + key
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.tasks[f.name]; before != nil {
		return before, false
	}
	a.tasks[f.name] = f
	return f, true
}

// started tells those who wait for a run where its output is.
func (f *flight) started(run, container string) {
	f.run, f.container = run, container
	close(f.up)
}

// land tells those who wait for a run that it has ended.
func (a *Agent) land(f *flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(f.down)
	delete(a.tasks, f.name)
}

// joinRun waits for the end of a run that somebody else attends to, and passes
// its output on, after the lines that were seen already.
func (a *Agent) joinRun(ctx context.Context, w *work, f *flight, run *journal.Run, seen int) (*api.TaskRun, error) {
	select {
	case <-f.up:
		passed := 0
		line := a.taskOutput(w, run.Task, seen)
		err := a.parts.Logs.Follow(ctx, f.container, func(stream, text string) { passed++; line(stream, text) })
		if err != nil && ctx.Err() == nil {
			a.log.Warn("following a task's output", "run", f.run, "error", err)
		}
		seen = max(seen, passed)
	case <-f.down:
	case <-ctx.Done():
	}
	select {
	case <-f.down:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	before, err := a.runWithKey(w.e, run.Key)
	if err != nil {
		return nil, err
	}
	if before == nil {
		return nil, api.Errorf(api.CodeConflict, "the run of the task that was waited for did not come to its end")
	}
	a.passKept(ctx, w, before, seen)
	return &before.TaskRun, nil
}

// passKept passes on what a run that has ended wrote, after the lines that were
// seen already. What is not kept any more can't be passed: the run stands.
func (a *Agent) passKept(ctx context.Context, w *work, run *journal.Run, seen int) {
	read, err := a.findTaskLog(w.e, run.Task, run.ID)
	if err == nil {
		line := a.taskOutput(w, run.Task, seen)
		err = read(ctx, api.LogQuery{}, func(_ time.Time, stream, text string) { line(stream, text) })
	}
	if err != nil {
		a.log.Warn("reading the output of a task", "task", run.Task, "run", run.ID, "error", err)
	}
}

// taskOutput passes lines of a task to the client, but for the first few.
func (a *Agent) taskOutput(w *work, task string, skip int) func(stream, text string) {
	redactor := a.redactor()
	return func(stream, text string) {
		if skip > 0 {
			skip--
			return
		}
		w.sink.Emit(event.Event{Type: event.Output, Stage: "task", Subject: "task " + task, Stream: stream, Text: redactor.String(text)})
	}
}

// followTask passes what a task writes to line, until it has ended. The returned
// function waits for that and gives the last lines.
func (a *Agent) followTask(ctx context.Context, task, container string, line func(stream, text string)) func() []string {
	var last []string
	redactor := a.redactor()
	ended := make(chan struct{})
	started := a.start(ctx, func(context.Context) {
		defer close(ended)
		err := a.parts.Logs.Follow(ctx, container, func(stream, text string) {
			line(stream, text)
			last = append(last, redactor.String(text))
			if len(last) > lastLines {
				last = last[1:]
			}
		})
		if err != nil && ctx.Err() == nil {
			a.log.Warn("following a task's output", "task", task, "error", err)
		}
	})
	if !started {
		close(ended)
	}
	return func() []string {
		<-ended
		return last
	}
}
