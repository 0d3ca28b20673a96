package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
)

func eventsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "events ENV",
		Short: "What happens on the hosts, as it happens, until interrupted",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.onLook(ctx, args[0], func(p *project, env *pipeline.Environment) error {
				hosts, missed, err := ask(ctx, p, env, func(ctx context.Context, h *deploy.Host) (*environment.Engine, error) {
					return environment.EngineOf(h), nil
				})
				if err != nil {
					return err
				}
				a.tellSilent(env, missed)
				var group sync.WaitGroup
				var told ui.Repeats
				errs := make([]error, len(hosts))
				for i, h := range hosts {
					group.Go(func() {
						errs[i] = h.Value.Events(ctx, func(e event.Event) {
							if e.Project == p.spec.Name && e.Environment == env.Name {
								e.Host = h.Host.Name
								if a.settings.JSON || !told.Before(e) {
									a.showEvent(e)
								}
							}
						})
					})
				}
				group.Wait()
				return errors.Join(errs...)
			})
		},
	}
}

// showEvent prints one event as a result, in one write.
func (a *app) showEvent(e event.Event) {
	if a.settings.JSON {
		a.emit(e)
		return
	}
	if line := ui.Line(e); line != "" {
		fmt.Fprintln(a.out, e.Time.Local().Format(time.DateTime)+" "+line)
	}
}
