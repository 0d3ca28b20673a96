package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/event"
)

// answer is what one host said.
type answer[T any] struct {
	host  *deploy.Host
	value T
}

// silent are the hosts that could not be asked, and why.
type silent []*deploy.HostError

// ask puts a question to all hosts of an environment, side by side. Answers and
// silent hosts come in the environment's order; one without dray knows nothing,
// and is in neither. It is an error only when nobody said anything.
func ask[T any](ctx context.Context, p *project, env *pipeline.Environment, question func(context.Context, *deploy.Host) (T, error)) ([]answer[T], silent, error) {
	all, errs := make([]answer[T], len(env.Hosts)), make([]error, len(env.Hosts))
	var group errgroup.Group
	group.SetLimit(max(p.app.settings.Parallel, 1))
	for i, name := range env.Hosts {
		group.Go(func() error {
			if all[i].host, errs[i] = p.reach(ctx, env, name); errs[i] == nil {
				all[i].value, errs[i] = question(ctx, all[i].host)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions report through errs
	var answers []answer[T]
	var missed silent
	for i, name := range env.Hosts {
		switch err := errs[i]; {
		case err == nil:
			answers = append(answers, all[i])
		case !errors.Is(err, ssh.ErrAbsent):
			missed = append(missed, &deploy.HostError{Host: name, Err: err})
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case len(answers) == 0:
		return nil, nil, missed.err()
	}
	return answers, missed, nil
}

// reach connects to a host of an environment. Verbs that only look speak of it
// when it takes long.
func (p *project) reach(ctx context.Context, env *pipeline.Environment, name string) (*deploy.Host, error) {
	sink := event.With(p.app.view, func(e *event.Event) { e.Project, e.Environment, e.Host = p.project.Name, env.Name, name })
	if p.connector.looking {
		sink = event.Discard
		slow := time.AfterFunc(ui.Patience, func() { p.app.remark(env.Name + " " + name + ": connecting …") })
		defer slow.Stop()
	}
	return p.connector.Connect(ctx, *p.project.Hosts[name], sink)
}

// err is why nobody answered, or nil.
func (s silent) err() error {
	var errs []error
	for _, e := range s {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func (s silent) names() []string {
	var out []string
	for _, e := range s {
		out = append(out, e.Host)
	}
	return out
}

// namesOf lists the hosts that answered.
func namesOf[T any](answers []answer[T]) []string {
	var out []string
	for _, a := range answers {
		out = append(out, a.host.Name)
	}
	return out
}

// notes says of each what keeps it from answering, as status does.
func (s silent) notes() []string {
	var found findings
	for _, e := range s {
		found.unreached(e.Host, e.Err.Error())
	}
	return found.lines()
}

// tell shows beside a result whom it lacks.
func (s silent) tell(a *app, env *pipeline.Environment) {
	if a.settings.JSON {
		for _, e := range s {
			a.emit(event.Event{Type: event.HostState, Environment: env.Name, Host: e.Host, State: event.Unreachable, Text: e.Err.Error()})
		}
		return
	}
	for _, note := range s.notes() {
		fmt.Fprintln(a.errOut, noteLine(env.Name, note))
	}
}

// noteLine is a line about what is wrong with an environment.
func noteLine(env, note string) string {
	return fmt.Sprintf("! %s  %s", env, strings.ReplaceAll(note, "\n", "\n    "))
}
