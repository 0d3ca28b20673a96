package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/secret"
)

// unconfirmed is the failure of what is done to an environment only with a yes.
func unconfirmed(env, what, command string, said ui.Reply) event.Event {
	why := " only with a yes: the environment's name, typed at a terminal, or --yes"
	if said == ui.No {
		why = " only with a yes, and " + noAtTerminal
	}
	f := failure(what+why, command)
	f.Environment, f.Conclusion = env, env+" is untouched."
	return f
}

// noAtTerminal says of something that it is not done because of a no.
const noAtTerminal = "you said no at the terminal"

// canAsk tells whether somebody can answer a question.
func (a *app) canAsk() bool { return !a.settings.JSON && a.asker.CanAsk() }

// agreed shows what would be done to an environment, and asks for its name.
func (a *app) agreed(ctx context.Context, what, env string) (ui.Reply, error) {
	if !a.canAsk() {
		return ui.Unanswered, nil
	}
	return a.asker.Confirm(ctx, what+"\nType "+env+" to go on: ", env)
}

// approver says yes by flag, or asks at the terminal; nil when neither can be.
func (a *app) approver(flag bool) func(context.Context, string, pipeline.Release) (bool, error) {
	switch {
	case flag:
		return func(context.Context, string, pipeline.Release) (bool, error) { return true, nil }
	case !a.canAsk():
		return nil
	}
	return func(ctx context.Context, env string, r pipeline.Release) (bool, error) {
		said, err := a.asker.Confirm(ctx, fmt.Sprintf("Release %s waits to enter %s. Type the environment's name to approve it: ", r.ReleaseNumber(), env), env)
		return said == ui.Yes, err
	}
}

// continuer lets a healthy canary go on: by flag, or by a yes at the terminal;
// nil when neither can be.
func (a *app) continuer(flag bool) func(context.Context, string) error {
	switch {
	case flag:
		return goOn
	case !a.canAsk():
		return nil
	}
	return func(ctx context.Context, reason string) error {
		said, err := a.asker.Confirm(ctx, reason+". Type \"go\" to bring the rest, \"no\" to go back: ", "go", "y", "yes")
		if err != nil {
			return err
		}
		return wentOn(reason, said)
	}
}

// goOn lets any canary go on.
func goOn(context.Context, string) error { return nil }

// wentOn is the error of a canary that nobody let go on.
func wentOn(reason string, said ui.Reply) error {
	switch said {
	case ui.Yes:
		return nil
	case ui.No:
		return fmt.Errorf("%s, but %s", reason, noAtTerminal)
	}
	return fmt.Errorf("%s, but nobody said to go on: answer at the terminal, give --continue, or set auto_promote in its update block", reason)
}

func approveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "approve ENV RELEASE",
		Short: "Say yes to a release entering an environment",
		Long: `approve lets a release into an environment whose gate asks for that. The yes
is for the name that the release would get there now, 42 or 42.1, and for what
this file makes of it: its images and its configuration. Whatever differs when
it is promoted wants another yes.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, exact, err := pipeline.ParseReleaseNumber(args[1])
			if err != nil {
				return noNumber(err, "dray status shows which release waits for "+args[0])
			}
			p, err := a.openToLook(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			return p.approve(cmd.Context(), args[0], n, exact)
		},
	}
}

// approve records a yes to what would enter an environment now, if that is the
// release that was named.
func (p *project) approve(ctx context.Context, envName string, n pipeline.ReleaseNumber, exact bool) error {
	env, err := p.environment(envName)
	if err != nil {
		return err
	}
	if env.Promotion == nil || !env.Promotion.Approve {
		return &exitError{code: exitFailed, failure: failure(env.Name+" asks for no approval: its promotion block has no approve = true", "")}
	}
	runner, secrets := p.runner(), &keptSecrets{project: p, env: env}
	runner.Secrets = secrets.find
	desired, err := runner.Desire(ctx, env.Name)
	if err != nil {
		return err
	}
	defer desired.Open.Close()
	if err := desired.Approvable(env, n, exact && !secrets.guessed); err != nil {
		return err
	}
	next := desired.Release
	if exact {
		next.Revision = n.Revision
	}
	yes := pipeline.Approval{ReleaseRef: pipeline.RefTo(next.ReleaseNumber()), Content: next.ApprovalHash()}
	if err := desired.Open.Approve(ctx, yes); err != nil {
		return err
	}
	p.app.finish(event.Event{
		Text: fmt.Sprintf("%s approved release %s for %s: %s, as %s configures it now.", p.app.actor().User, next.ReleaseNumber(), env.Name,
			ui.Images(&pipeline.Deployed{Release: next}), env.Promotion.At.File),
		Environment: env.Name, Release: next.Number, Revision: next.Revision, Next: "dray promote " + env.Name,
	})
	return nil
}

// keptSecrets finds secrets for somebody who may lack some: they are taken to
// be those that the environment runs with.
type keptSecrets struct {
	project *project
	env     *pipeline.Environment
	guessed bool // some were taken so
}

// find is a run.Secrets.
func (k *keptSecrets) find(ctx context.Context, env string, names []string) (versions, values map[string]string, err error) {
	versions, values, err = k.project.secrets(ctx, env, names)
	var missing *secret.MissingError
	if !errors.As(err, &missing) {
		return versions, values, err
	}
	k.guessed = true
	rest := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(missing.Names, name) })
	if versions, values, err = k.project.secrets(ctx, env, rest); err != nil {
		return nil, nil, err
	}
	for _, h := range k.project.environments.Look(ctx, []*pipeline.Environment{k.env})[0].Hosts {
		if h.State == nil || h.State.Current == nil {
			continue
		}
		for _, name := range missing.Names {
			versions[name] = h.State.Current.Secrets[name]
		}
	}
	return versions, values, nil
}
