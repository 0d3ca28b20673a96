package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/usage"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

func lockCommand(a *app) *cobra.Command {
	var reason string
	var length time.Duration
	var replace bool
	cmd := &cobra.Command{
		Use:   "lock ENV --reason TEXT",
		Short: "Keep deployments out of an environment",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case reason == "":
				return usage.Misused(cmd, "--reason is missing: everybody who is refused sees it")
			case length < 0:
				return usage.Misused(cmd, usage.WrongLength("for", length.String()))
			}
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				return p.freeze(cmd.Context(), env, api.SetFreeze{Reason: reason, For: pipeline.Duration(length), Replace: replace})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; everybody who is refused sees it")
	cmd.Flags().DurationVar(&length, "for", 0, "end by itself after this long")
	cmd.Flags().BoolVar(&replace, "replace", false, "take the place of the lock that is on")
	return cmd
}

func (p *project) freeze(ctx context.Context, env *pipeline.Environment, freeze api.SetFreeze) error {
	command, until := "dray lock "+env.Name, "until dray unlock "+env.Name
	if d := freeze.For.D(); d > 0 {
		command += " --for " + freeze.For.String()
		until = "until " + time.Now().Add(d).Format(time.DateTime)
	}
	command = fmt.Sprintf("%s --reason %q", command, freeze.Reason)
	present, err := p.environments.Frozen(ctx, env)
	if err != nil {
		return err
	}
	if len(present.Absent) == len(env.Hosts) {
		f := failure("dray was never on a host of "+env.Name+", so none can keep its lock", "dray host setup "+strings.Join(env.Hosts, " ")+", then "+command)
		f.Environment = env.Name
		return &exitError{code: exitFailed, failure: f}
	}
	replaces := ""
	for _, f := range present.Freezes {
		if !freeze.Replace && (f.By.User != p.app.actor().User || f.Reason != freeze.Reason) {
			return alreadyFrozen(env.Name, f, command+" --replace")
		}
		replaces = fmt.Sprintf(" It replaces %s's lock%s: %s.", f.By.User, f.UntilText(), f.Reason)
	}
	if freeze.Replace {
		command += " --replace"
	}
	return p.tellAll(ctx, env, notice{
		done:    fmt.Sprintf("%s takes no deployment %s: %s.%s", env.Name, until, freeze.Reason, replaces),
		state:   "locked",
		partly:  func(told, _ string) string { return "A deployment that leaves out " + told + " gets in." },
		command: command,
		absent:  present.Absent,
		tell: func(ctx context.Context, on *api.EnvironmentClient) error {
			_, err := on.Freeze(ctx, freeze)
			return err
		},
	})
}

// alreadyFrozen refuses to replace a lock unless that is asked for.
func alreadyFrozen(env string, f *api.Freeze, command string) error {
	failed := failure(f.Text(env), command+" takes its place")
	failed.Environment, failed.Conclusion = env, "That lock stays as it is."
	return &exitError{code: exitRefused, failure: failed}
}

func unlockCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock ENV",
		Short: "Let deployments in again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				return p.unfreeze(cmd.Context(), env)
			})
		},
	}
}

func (p *project) unfreeze(ctx context.Context, env *pipeline.Environment) error {
	present, err := p.environments.Frozen(ctx, env)
	if err != nil {
		return err
	}
	if len(present.Freezes) == 0 && len(present.Missed) == 0 {
		p.app.finish(event.Event{Text: env.Name + " was not locked.", Environment: env.Name})
		return nil
	}
	return p.tellAll(ctx, env, notice{
		done:    env.Name + " takes deployments again.",
		state:   "unlocked",
		partly:  func(_, others string) string { return "If it was locked, deployments to " + others + " are refused." },
		command: "dray unlock " + env.Name,
		tell: func(ctx context.Context, on *api.EnvironmentClient) error {
			err := on.Unfreeze(ctx)
			var refused *api.Error
			if errors.As(err, &refused) && refused.Code == api.CodeNotFound {
				return nil // it was not locked
			}
			return err
		},
	})
}

// notice is something that all hosts of an environment are to know.
type notice struct {
	tell    func(context.Context, *api.EnvironmentClient) error
	done    string                           // what is true once all know
	state   string                           // what hosts are that know
	partly  func(told, others string) string // what is true while only some know
	command string                           // tells all again
	absent  environment.Silent               // hosts that dray was never on, where they matter
}

// tellAll tells as many hosts as it can. Less than all is a failure.
func (p *project) tellAll(ctx context.Context, env *pipeline.Environment, n notice) error {
	answers, missed, err := ask(ctx, p, env, func(ctx context.Context, h *deploy.Host) (struct{}, error) {
		return struct{}{}, n.tell(ctx, h.Client.Environment(p.spec.Name, env.Name))
	})
	if err != nil {
		return err
	}
	missed = append(missed, n.absent...)
	if len(missed) == 0 {
		p.app.finish(event.Event{Text: n.done, Environment: env.Name})
		return nil
	}
	told, others := phrase.List(environment.NamesOf(answers)), phrase.List(missed.Names())
	f := failure(fmt.Sprintf("%s is %s on %s only: %s could not be told", env.Name, n.state, told, others), n.command+", once "+others+" can be reached")
	f.Environment, f.Detail, f.Conclusion = env.Name, strings.Join(missed.Notes(), "\n"), n.partly(told, others)
	return &exitError{code: exitFailed, failure: f}
}
