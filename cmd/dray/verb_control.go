package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/run"
	"dray/targets/api"
)

// onFleet connects to an environment and lets do work on it.
func (a *app) onFleet(ctx context.Context, name string, do func(*project, *pipeline.Environment, *deploy.Fleet) error) error {
	p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	env, err := p.environment(name)
	if err != nil {
		return err
	}
	fleet, err := p.fleet(ctx, env, a.view)
	if err != nil {
		return err
	}
	defer fleet.Close()
	return do(p, env, fleet)
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

func recoverCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "recover ENV",
		Short: "Finish what a deployment that died left in doubt",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onFleet(cmd.Context(), args[0], func(p *project, env *pipeline.Environment, fleet *deploy.Fleet) error {
				r, err := fleet.Recover(cmd.Context(), a.actor(), a.settings.LockWait)
				if err != nil {
					return err
				}
				if len(r.Behind) > 0 {
					return p.catchUp(cmd.Context(), env, fleet, r)
				}
				text := fmt.Sprintf("Nothing is in doubt: %s runs %s on all hosts.", env.Name, releaseName(r.Release))
				if r.Finished > 0 {
					text = fmt.Sprintf("Finished on %d hosts: %s runs %s on all hosts.", r.Finished, env.Name, releaseName(r.Release))
				}
				a.finish(event.Event{Text: text, Environment: env.Name, Release: r.Release.Number, Revision: r.Release.Revision})
				return nil
			})
		},
	}
}

// catchUp brings the newest confirmed release to the hosts that have gone back
// from it: it was decided, and only its confirmation did not reach them.
func (p *project) catchUp(ctx context.Context, env *pipeline.Environment, fleet *deploy.Fleet, r *deploy.Recovery) error {
	open := &openEnvironment{deployer: &deployer{project: p}, env: env, fleet: fleet}
	release := *r.Newest
	release.By = p.app.actor()
	values, err := p.secretValues(ctx, env.Name, release.Secrets)
	if err != nil {
		return err
	}
	done, err := open.Deploy(ctx, run.Deployment{Kind: deploy.KindRecover, Release: release, Secrets: values, Origin: open})
	if err != nil {
		return err
	}
	p.app.finish(event.Event{Text: fmt.Sprintf("Brought release %s to %s: %s runs it on all hosts.", done.Release.ReleaseNumber(), enumerate(r.Behind), env.Name),
		Environment: env.Name, Release: done.Release.Number, Revision: done.Release.Revision})
	return nil
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
		return p.Host + ": " + byteCount(p.Bytes) + " would go"
	}
	return p.Host + ": " + byteCount(p.Bytes) + " dropped"
}

func pruneCommand(a *app) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "prune ENV",
		Short: "Drop what no release on the hosts needs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onFleet(cmd.Context(), args[0], func(_ *project, _ *pipeline.Environment, fleet *deploy.Fleet) error {
				var pruned []prunedHost
				for _, h := range fleet.Hosts() {
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
