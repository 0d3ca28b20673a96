package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// onOpen connects to an environment and lets do work on it.
func (a *app) onOpen(ctx context.Context, name string, do func(*project, *pipeline.Environment, *environment.Environment) error) error {
	return a.onEnvironment(ctx, name, func(p *project, env *pipeline.Environment) error {
		open, err := p.environments.Open(ctx, env, nil, a.view)
		if err != nil {
			return err
		}
		defer open.Close()
		return do(p, env, open)
	})
}

// onEnvironment lets do work on an environment, whose hosts it reaches itself.
func (a *app) onEnvironment(ctx context.Context, name string, do func(*project, *pipeline.Environment) error) error {
	p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	env, err := p.environment(name)
	if err != nil {
		return err
	}
	return do(p, env)
}

// onLook lets do look at an environment. It changes nothing on a host.
func (a *app) onLook(ctx context.Context, name string, do func(*project, *pipeline.Environment) error) error {
	p, err := a.openToLook(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	env, err := p.environment(name)
	if err != nil {
		return err
	}
	return do(p, env)
}

// prunedHost is what a host dropped, or would drop.
type prunedHost struct {
	Host   string `json:"host"`
	DryRun bool   `json:"dry_run,omitempty"`
	api.PruneResult
}

func (p prunedHost) String() string {
	switch {
	case p.Bytes == 0:
		return p.Host + ": nothing to drop"
	case p.DryRun:
		return p.Host + ": " + phrase.Size(p.Bytes) + " would go"
	}
	return p.Host + ": " + phrase.Size(p.Bytes) + " dropped"
}

func pruneCommand(a *app) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "prune ENV",
		Short: "Drop what no release on the hosts needs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				open, err := p.environments.Open(cmd.Context(), env, nil, a.view)
				if err != nil {
					return err
				}
				defer open.Close()
				var pruned []prunedHost
				for _, h := range open.Hosts() {
					if h.Absent {
						continue // nothing is kept there
					}
					r, err := h.Client.Prune(cmd.Context(), api.Prune{DryRun: dry})
					if err != nil {
						return &deploy.HostError{Host: h.Name, Err: err}
					}
					pruned = append(pruned, prunedHost{Host: h.Name, DryRun: dry, PruneResult: *r})
				}
				return results(a, pruned, func(w io.Writer) error {
					for _, p := range pruned {
						fmt.Fprintln(w, p)
					}
					return nil
				})
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would go")
	return cmd
}
