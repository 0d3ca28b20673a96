package environment

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/pipeline/event"
)

// Answer is what one host said.
type Answer[T any] struct {
	Host  *deploy.Host
	Value T
}

// Silent are the hosts that could not be asked, and why.
type Silent []*deploy.HostError

// Ask puts a question to all hosts of an environment, side by side. Answers and
// silent hosts come in the environment's order; one without dray knows nothing,
// and is in neither. It is an error only when nobody said anything.
func Ask[T any](ctx context.Context, o *Opener, env *pipeline.Environment, question func(context.Context, *deploy.Host) (T, error)) ([]Answer[T], Silent, error) {
	all, errs := make([]Answer[T], len(env.Hosts)), make([]error, len(env.Hosts))
	var group errgroup.Group
	group.SetLimit(max(o.Parallel, 1))
	for i, name := range env.Hosts {
		group.Go(func() error {
			if all[i].Host, errs[i] = o.Reach(ctx, env.Name, name); errs[i] == nil {
				all[i].Value, errs[i] = question(ctx, all[i].Host)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions report through errs
	var answers []Answer[T]
	var missed Silent
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
		return nil, nil, missed.Err()
	}
	return answers, missed, nil
}

// Reach connects to a host of an environment. One that is only looked at is
// spoken of when it takes long.
func (o *Opener) Reach(ctx context.Context, env, name string) (*deploy.Host, error) {
	sink := event.With(o.Sink, func(e *event.Event) { e.Project, e.Environment, e.Host = o.Project.Name, env, name })
	if o.Slow != nil {
		sink = event.Discard
		defer o.Slow(env, name)()
	}
	return o.Connector.Connect(ctx, o.host(name), sink)
}

// Err is why nobody answered, or nil.
func (s Silent) Err() error {
	var errs []error
	for _, e := range s {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// Names lists the silent hosts.
func (s Silent) Names() []string {
	var out []string
	for _, e := range s {
		out = append(out, e.Host)
	}
	return out
}

// Notes says of each what keeps it from answering, as a Status does.
func (s Silent) Notes() []string {
	var found notes
	for _, e := range s {
		found.unreached(e.Host, e.Err.Error())
	}
	return found.lines()
}

// NamesOf lists the hosts that answered.
func NamesOf[T any](answers []Answer[T]) []string {
	var out []string
	for _, a := range answers {
		out = append(out, a.Host.Name)
	}
	return out
}
