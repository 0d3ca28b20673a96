package deploy

import (
	"context"

	"dray/pipeline/event"
	"dray/targets/api"
)

// RunTask runs a task of an environment on a host, and waits for its end. A run
// outlives the agent that started it: where that is replaced meanwhile, the next
// one is asked for the same run, by its Key, and for the lines of its output that
// have not come yet.
func RunTask(ctx context.Context, h *Host, on *api.EnvironmentClient, task string, req api.RunTask, sink event.Sink) (run *api.TaskRun, err error) {
	counted := event.Func(func(e event.Event) {
		if e.Type == event.Output {
			req.Seen++
		}
		sink.Emit(e)
	})
	err = retry(ctx, h, sink, func(ctx context.Context) (err error) {
		run, err = on.RunTask(ctx, task, req, counted)
		return err
	})
	return run, err
}
