package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/pipeline"
)

func statusCommand(a *app) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [ENV]",
		Short: "What runs where, and what is wrong with it",
		Long: `status asks every host what runs there, and says what is wrong with it.

With --watch it goes on until Ctrl-C: at a terminal the picture is kept up to
date, on a pipe there is a line whenever something changes, with --json an
object. A host that goes away is shown, and again when it is back.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.openToLook(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			envs, err := p.chosen(args)
			if err != nil {
				return err
			}
			if watch {
				return p.watch(cmd.Context(), envs)
			}
			views := p.environments.Look(cmd.Context(), envs)
			if err := context.Cause(cmd.Context()); err != nil {
				return err // half an answer is none
			}
			if len(args) == 0 {
				views = p.environments.AddOrphans(cmd.Context(), views)
			} else {
				p.environments.AddOrphansOf(cmd.Context(), envs[0], &views[0])
			}
			return results(a, views, func(w io.Writer) error { return ui.PrintStatus(w, p.spec, views) })
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show what changes")
	return cmd
}

// chosen is the environment that args name, or all.
func (p *project) chosen(args []string) ([]*pipeline.Environment, error) {
	if len(args) == 0 && len(p.spec.Environments) == 0 {
		return nil, &exitError{code: exitFailed, failure: failure(
			"the file declares no environment, so there is nothing to look at", "add an environment to the file")}
	}
	if len(args) == 0 {
		return p.spec.Environments, nil
	}
	env, err := p.environment(args[0])
	return []*pipeline.Environment{env}, err
}

// watch shows the status of environments until ctx ends: in place at a terminal,
// and otherwise a line, or an object, for each that has changed.
func (p *project) watch(ctx context.Context, envs []*pipeline.Environment) error {
	a := p.app
	a.view.Close()
	if !a.settings.JSON && ui.CanDraw(os.Stdout) {
		live := &ui.LiveStatus{Out: a.out, Project: p.spec}
		return p.environments.Watch(ctx, envs, func(now *environment.Picture, _ int) error { return live.Draw(now.Views) })
	}
	return p.environments.Watch(ctx, envs, func(now *environment.Picture, env int) error {
		if env < 0 || !now.Changed(env, a.settings.JSON) {
			return nil
		}
		if a.settings.JSON {
			return a.printResult(&now.Views[env])
		}
		_, err := fmt.Fprintln(a.out, time.Now().Format(time.TimeOnly), ui.StatusLine(&now.Views[env]))
		return err
	})
}
