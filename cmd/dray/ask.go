package main

import (
	"context"
	"fmt"
	"strings"

	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
)

// What hosts answer, and who did not.
type (
	answer[T any] = environment.Answer[T]
	silent        = environment.Silent
)

// ask puts a question to all hosts of an environment, side by side.
func ask[T any](ctx context.Context, p *project, env *pipeline.Environment, question func(context.Context, *deploy.Host) (T, error)) ([]answer[T], silent, error) {
	return environment.Ask(ctx, p.environments, env, question)
}

// tellSilent shows beside a result whom it lacks.
func (a *app) tellSilent(env *pipeline.Environment, missed silent) {
	if a.settings.JSON {
		for _, e := range missed {
			a.emit(event.Event{Type: event.HostState, Environment: env.Name, Host: e.Host, State: event.Unreachable, Text: e.Err.Error()})
		}
		return
	}
	for _, note := range missed.Notes() {
		fmt.Fprintln(a.errOut, noteLine(env.Name, note))
	}
}

// noteLine is a line about what is wrong with an environment.
func noteLine(env, note string) string {
	return fmt.Sprintf("! %s  %s", env, strings.ReplaceAll(note, "\n", "\n    "))
}
