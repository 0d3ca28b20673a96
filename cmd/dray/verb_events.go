package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dray/deploy"
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
			return a.onFleet(ctx, args[0], func(p *project, env *pipeline.Environment, fleet *deploy.Fleet) error {
				a.view.Close()
				var mu sync.Mutex
				var group sync.WaitGroup
				errs := make([]error, len(fleet.Hosts()))
				for i, h := range fleet.Hosts() {
					group.Go(func() {
						errs[i] = p.connector.engineOf(ctx, h).events(ctx, func(e event.Event) {
							if e.Project != p.project.Name || e.Environment != env.Name {
								return
							}
							mu.Lock()
							defer mu.Unlock()
							e.Host = h.Name
							a.showEvent(e)
						})
					})
				}
				group.Wait()
				return errors.Join(errs...)
			})
		},
	}
}

// showEvent prints one event as a result.
func (a *app) showEvent(e event.Event) {
	if a.settings.JSON {
		_ = json.NewEncoder(a.out).Encode(e) // a reader that went away is not this run's fault
		return
	}
	if line := plainLine(e); line != "" {
		fmt.Fprintln(a.out, e.Time.Local().Format(time.DateTime)+" "+line)
	}
}

// events passes a host's events to each, until ctx ends.
func (e *engine) events(ctx context.Context, each func(event.Event)) error {
	resp, err := e.do(ctx, http.MethodGet, "/dray/v1/events", nil)
	if err != nil {
		return &deploy.HostError{Host: e.host, Err: err}
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one event.Event
		if err := json.Unmarshal(lines.Bytes(), &one); err == nil { // a newer agent may send what this dray does not know
			each(one)
		}
	}
	if ctx.Err() != nil {
		return nil // the reader had enough
	}
	return &deploy.HostError{Host: e.host, Err: errors.Join(errors.New("the stream of events ended"), lines.Err())}
}
