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
				var told repeats
				errs := make([]error, len(hosts))
				for i, h := range hosts {
					group.Go(func() {
						errs[i] = h.Value.Events(ctx, func(e event.Event) {
							if e.Project == p.project.Name && e.Environment == env.Name {
								e.Host = h.Host.Name
								if a.settings.JSON || !told.before(e) {
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

// repeats knows the last state of each instance: a deployment and the runtime
// below it both tell that one starts, and a person needs it once.
type repeats struct {
	mu   sync.Mutex
	last map[string]string // host and instance → release and state
}

// before tells whether an event says of an instance what the one before said.
func (r *repeats) before(e event.Event) bool {
	if e.Type != event.InstanceState || e.Instance == "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]string{}
	}
	key, now := e.Host+" "+e.Instance, fmt.Sprintf("%d.%d %s", e.Release, e.Revision, e.State)
	same := r.last[key] == now
	r.last[key] = now
	return same
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
