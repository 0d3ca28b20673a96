package main

import (
	"context"
	"fmt"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
)

// ask puts a question to all hosts of an environment, side by side.
func ask[T any](ctx context.Context, p *project, env *pipeline.Environment, question func(context.Context, *deploy.Host) (T, error)) ([]environment.Answer[T], environment.Silent, error) {
	return environment.Ask(ctx, p.environments, env, question)
}

// tellSilent shows beside a result whom it lacks.
func (a *app) tellSilent(env *pipeline.Environment, missed environment.Silent) {
	if a.settings.JSON {
		for _, e := range missed {
			a.emit(event.Event{Type: event.HostState, Environment: env.Name, Host: e.Host, State: event.Unreachable, Text: e.Err.Error()})
		}
		return
	}
	for _, note := range missed.Notes() {
		fmt.Fprintln(a.errOut, ui.NoteLine(env.Name, note))
	}
}
