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

// RunService runs a container of a service on a host, until it ends. It outlives
// the agent that made it: where that is replaced meanwhile, the next one is asked
// for the same container, and ready is called once more, with started.
func RunService(ctx context.Context, h *Host, on *api.EnvironmentClient, service string, req api.RunService, sink event.Sink, ready func(id string, started bool)) (run *api.ServiceRun, err error) {
	err = retry(ctx, h, sink, func(ctx context.Context) (err error) {
		run, err = on.RunService(ctx, service, req, func(id string, started bool) {
			req.Rejoin = true // it may be started from now on: never a second one
			ready(id, started)
		})
		return err
	})
	return run, err
}
