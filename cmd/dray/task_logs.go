package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// taskLogs shows what one run of a task wrote: the newest, the newest of a
// release, or the one that is named.
func (p *project) taskLogs(ctx context.Context, env *pipeline.Environment, task string, o logOptions) error {
	r, missed, err := p.environments.FindRun(ctx, env, task, environment.WantedRun{Run: o.run, Release: o.release})
	if err != nil {
		return err
	}
	p.app.view.Close()
	p.app.tellSilent(env, missed)
	p.app.remark(ui.RunText(r, env.Name))
	end, err := r.Client.TaskLogs(ctx, task, r.ID, o.query, p.app.lines(r.Host, o.times))
	var refused *api.Error
	switch {
	case ctx.Err() != nil:
		return nil // the reader had enough
	case asError(err, &refused) && refused.Code == api.CodeNotFound:
		p.lastWords(r, env.Name)
		return nil
	case err != nil:
		return &deploy.HostError{Host: r.Host, Err: err}
	}
	if r.Ended.IsZero() && !end.Ended.IsZero() { // it has ended while it was followed
		r.TaskRun = *end
		p.app.remark(ui.RunText(r, env.Name))
	}
	return nil
}

// lastWords shows what is left of a run whose output is not kept any more.
func (p *project) lastWords(r *environment.FoundRun, env string) {
	for _, line := range r.Logs {
		if p.app.settings.JSON {
			p.app.emit(event.Event{Type: event.Output, Stage: "task", Time: r.Ended, Environment: env, Host: r.Host, Subject: "task " + r.Task, Text: line})
			continue
		}
		fmt.Fprintln(p.app.out, line)
	}
	switch {
	case len(r.Logs) > 0:
		p.app.remark("Only its last lines are kept.")
	case r.Started.Equal(r.Ended):
		p.app.remark("It wrote nothing.")
	default:
		p.app.remark("Its output is not kept any more: dray task list " + env + " has newer runs.")
	}
}

// lines prints what a program wrote as it wrote it: each stream to its own.
func (a *app) lines(host string, times bool) event.Sink {
	return event.Func(func(e event.Event) {
		if a.settings.JSON {
			e.Host = host
			a.emit(e)
			return
		}
		out := a.out
		if e.Stream == "stderr" {
			out = a.errOut
		}
		if times {
			_, _ = io.WriteString(out, e.Time.UTC().Format(time.RFC3339Nano)+" ") // a reader that went away is not this run's fault
		}
		_, _ = io.WriteString(out, e.Text+"\n") // as above
	})
}
