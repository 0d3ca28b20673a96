package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

func lockCommand(a *app) *cobra.Command {
	var reason string
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "lock ENV --reason TEXT",
		Short: "Keep deployments out of an environment",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case reason == "":
				return misused(cmd, "--reason is missing: everybody who is refused sees it")
			case length < 0:
				return misused(cmd, wrongLength("for", length.String()))
			}
			return a.lock(cmd.Context(), args[0], api.SetFreeze{Reason: reason, For: pipeline.Duration(length)})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; everybody who is refused sees it")
	cmd.Flags().DurationVar(&length, "for", 0, "end by itself after this long")
	return cmd
}

func (a *app) lock(ctx context.Context, name string, freeze api.SetFreeze) error {
	command, until := "dray lock "+name, "until dray unlock "+name
	if d := freeze.For.D(); d > 0 {
		command += " --for " + freeze.For.String()
		until = "until " + time.Now().Add(d).Format(time.DateTime)
	}
	return a.tellAll(ctx, name, notice{
		done:    fmt.Sprintf("%s takes no deployment %s: %s.", name, until, freeze.Reason),
		state:   "locked",
		partly:  func(told, _ string) string { return "A deployment that leaves out " + told + " gets in." },
		command: fmt.Sprintf("%s --reason %q", command, freeze.Reason),
		tell: func(ctx context.Context, on *api.EnvironmentClient) error {
			_, err := on.Freeze(ctx, freeze)
			return err
		},
	})
}

func unlockCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock ENV",
		Short: "Let deployments in again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tellAll(cmd.Context(), args[0], notice{
				done:    args[0] + " takes deployments again.",
				state:   "unlocked",
				partly:  func(_, others string) string { return "If it was locked, deployments to " + others + " are refused." },
				command: "dray unlock " + args[0],
				tell: func(ctx context.Context, on *api.EnvironmentClient) error {
					err := on.Unfreeze(ctx)
					var refused *api.Error
					if errors.As(err, &refused) && refused.Code == api.CodeNotFound {
						return nil // it was not locked
					}
					return err
				},
			})
		},
	}
}

// notice is something that all hosts of an environment are to know.
type notice struct {
	tell    func(context.Context, *api.EnvironmentClient) error
	done    string                           // what is true once all know
	state   string                           // what hosts are that know
	partly  func(told, others string) string // what is true while only some know
	command string                           // tells all again
}

// tellAll tells as many hosts as it can. Less than all is a failure.
func (a *app) tellAll(ctx context.Context, name string, n notice) error {
	p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	env, err := p.environment(name)
	if err != nil {
		return err
	}
	answers, missed, err := ask(ctx, p, env, func(ctx context.Context, h *deploy.Host) (struct{}, error) {
		return struct{}{}, n.tell(ctx, h.Client.Environment(p.project.Name, env.Name))
	})
	if err != nil {
		return err
	}
	if len(missed) == 0 {
		a.finish(event.Event{Text: n.done, Environment: env.Name})
		return nil
	}
	told, others := enumerate(namesOf(answers)), enumerate(missed.names())
	f := failure(fmt.Sprintf("%s is %s on %s only: %s could not be told", env.Name, n.state, told, others), n.command+", once "+others+" can be reached")
	f.Environment, f.Detail, f.Conclusion = env.Name, strings.Join(missed.notes(), "\n"), n.partly(told, others)
	return &exitError{code: exitFailed, failure: f}
}
