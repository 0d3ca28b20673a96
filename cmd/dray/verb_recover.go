package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/pipeline/run"
	"dray/targets/api"
)

func recoverCommand(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "recover ENV",
		Short: "Finish what a deployment that died left in doubt",
		Long: `recover finishes what a deployment that died left in doubt, and brings hosts that
missed the end of one to what the others run. A release that failed and is held
(auto_revert = false) is taken back, too: for that it asks for the environment's
name at a terminal. Elsewhere it needs --yes.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onOpen(cmd.Context(), args[0], func(p *project, env *pipeline.Environment, open *environment.Environment) error {
				return p.recover(cmd.Context(), env, open, yes)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before a release that is held is taken back")
	return cmd
}

func (p *project) recover(ctx context.Context, env *pipeline.Environment, open *environment.Environment, yes bool) error {
	seen, err := open.Observe(ctx)
	if err != nil {
		return err
	}
	held := environment.HeldOn(seen)
	if held != nil && !yes {
		what := ui.WhatGoesBack(held, seen)
		said, err := p.app.agreed(ctx, what, env.Name)
		if err != nil {
			return err
		}
		if said != ui.Yes {
			if p.app.canAsk() {
				what = "" // it has just been shown
			}
			return notTakenBack(env.Name, held, what, said)
		}
	}
	r, err := open.Recover(ctx, environment.Recovery{
		Wait:  max(p.app.settings.LockWait, p.app.settings.Lease), // a deployer that died holds its lease until that ends
		Abort: func(id string) bool { return yes || held != nil && held.ID == id },
		Secrets: func(ctx context.Context, versions map[string]string) (map[string]string, error) {
			return run.Secrets(p.secrets).Kept(ctx, env.Name, versions)
		},
	})
	if err != nil {
		return err
	}
	runs := r.Release
	text := fmt.Sprintf("Nothing is in doubt: %s runs %s on all hosts.", env.Name, runs.Name())
	switch {
	case r.Brought != nil:
		runs = r.Brought.Release.ReleaseNumber()
		text = fmt.Sprintf("Brought release %s to %s: %s runs it on all hosts.", runs, phrase.List(r.Behind), env.Name)
	case r.Finished > 0:
		text = fmt.Sprintf("Finished on %s: %s runs %s on all hosts.", phrase.Count(r.Finished, "host"), env.Name, runs.Name())
	}
	p.app.finish(event.Event{Text: text, Environment: env.Name, Release: runs.Number, Revision: runs.Revision})
	return nil
}

// notTakenBack refuses to take a held release back without a yes.
func notTakenBack(env string, held *api.Deployment, what string, said ui.Reply) error {
	f := unconfirmed(env, "release "+held.ReleaseNumber().String()+" of "+env+" is taken back", "dray recover "+env+" --yes", said)
	f.Release, f.Revision = held.Release, held.Revision
	f.Detail = what
	return &exitError{code: exitRefused, failure: f}
}
