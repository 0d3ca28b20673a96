package main

import (
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/usage"
	"dray/pipeline"
	"dray/pipeline/event"
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
				text, err := p.environments.Lock(cmd.Context(), env, api.SetFreeze{Reason: reason, For: pipeline.Duration(length), Replace: replace})
				if err == nil {
					a.finish(event.Event{Text: text, Environment: env.Name})
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; everybody who is refused sees it")
	cmd.Flags().DurationVar(&length, "for", 0, "end by itself after this long")
	cmd.Flags().BoolVar(&replace, "replace", false, "take the place of the lock that is on")
	return cmd
}

func unlockCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock ENV",
		Short: "Let deployments in again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				text, err := p.environments.Unlock(cmd.Context(), env)
				if err == nil {
					a.finish(event.Event{Text: text, Environment: env.Name})
				}
				return err
			})
		},
	}
}
