package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
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

func lockCommand(a *app) *cobra.Command {
	var reason string
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "lock ENV --reason TEXT",
		Short: "Keep deployments out of an environment",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return misused(cmd, "--reason is missing: everybody who is refused sees it")
			}
			return a.onFleet(cmd.Context(), args[0], func(p *project, env *pipeline.Environment, fleet *deploy.Fleet) error {
				for _, h := range fleet.Hosts() {
					freeze := api.SetFreeze{Reason: reason, For: pipeline.Duration(length)}
					if _, err := h.Client.Environment(p.project.Name, env.Name).Freeze(cmd.Context(), freeze); err != nil {
						return &deploy.HostError{Host: h.Name, Err: err}
					}
				}
				until := "until dray unlock " + env.Name
				if length > 0 {
					until = "until " + time.Now().Add(length).Format("2006-01-02 15:04:05")
				}
				a.finish(event.Event{Text: fmt.Sprintf("%s takes no deployment %s: %s.", env.Name, until, reason), Environment: env.Name})
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; everybody who is refused sees it")
	cmd.Flags().DurationVar(&length, "for", 0, "end by itself after this long")
	return cmd
}

func unlockCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock ENV",
		Short: "Let deployments in again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onFleet(cmd.Context(), args[0], func(p *project, env *pipeline.Environment, fleet *deploy.Fleet) error {
				for _, h := range fleet.Hosts() {
					err := h.Client.Environment(p.project.Name, env.Name).Unfreeze(cmd.Context())
					var refused *api.Error
					if errors.As(err, &refused) && refused.Code == api.CodeNotFound {
						continue // it was not locked
					}
					if err != nil {
						return &deploy.HostError{Host: h.Name, Err: err}
					}
				}
				a.finish(event.Event{Text: env.Name + " takes deployments again.", Environment: env.Name})
				return nil
			})
		},
	}
}

func pruneCommand(a *app) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "prune ENV",
		Short: "Drop what no release on the hosts needs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onFleet(cmd.Context(), args[0], func(_ *project, _ *pipeline.Environment, fleet *deploy.Fleet) error {
				results := map[string]*api.PruneResult{}
				for _, h := range fleet.Hosts() {
					r, err := h.Client.Prune(cmd.Context(), api.Prune{DryRun: dry})
					if err != nil {
						return &deploy.HostError{Host: h.Name, Err: err}
					}
					results[h.Name] = r
				}
				return a.result(results, func(w io.Writer) error {
					for _, name := range fleet.Names() {
						r := results[name]
						switch {
						case r.Bytes == 0:
							fmt.Fprintf(w, "%s: nothing to drop\n", name)
						case dry:
							fmt.Fprintf(w, "%s: %s would go\n", name, byteCount(r.Bytes))
						default:
							fmt.Fprintf(w, "%s: %s dropped\n", name, byteCount(r.Bytes))
						}
					}
					return nil
				})
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would go")
	return cmd
}
