package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/phrase"
)

// usage is what one container uses.
type usage struct {
	Host     string  `json:"host"`
	Instance string  `json:"instance"`
	CPU      float64 `json:"cpu"`    // percent of one core
	Memory   uint64  `json:"memory"` // bytes
	Limit    uint64  `json:"limit"`  // bytes
	Pids     uint64  `json:"pids"`
	Received uint64  `json:"received"` // bytes since the start
	Sent     uint64  `json:"sent"`
}

func statsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stats ENV [SERVICE]",
		Short: "What containers use: CPU, memory, processes, network",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			service := ""
			if len(args) == 2 {
				service = args[1]
			}
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				found, missed, err := p.find(cmd.Context(), env, service)
				if err != nil {
					return err
				}
				usages, err := usagesOf(cmd.Context(), found)
				if err != nil {
					return err
				}
				defer a.tellSilent(env, missed)
				return results(a, usages, func(w io.Writer) error { return printStats(w, usages) })
			})
		},
	}
}

// usagesOf measures the containers that run, side by side.
func usagesOf(ctx context.Context, found []environment.Container) ([]usage, error) {
	running := slices.DeleteFunc(found, func(c environment.Container) bool { return c.State != "running" })
	usages := make([]usage, len(running))
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range running {
		group.Go(func() error {
			var s container.StatsResponse
			if err := c.Engine.Get(ctx, "/containers/"+c.ID+"/stats?stream=0", &s); err != nil {
				return &deploy.HostError{Host: c.Engine.Host, Err: err}
			}
			usages[i] = usageOf(&c, &s)
			return nil
		})
	}
	return usages, group.Wait()
}

func usageOf(c *environment.Container, s *container.StatsResponse) usage {
	u := usage{Host: c.Engine.Host, Instance: c.Instance(), Memory: s.MemoryStats.Usage, Limit: s.MemoryStats.Limit, Pids: s.PidsStats.Current}
	passed := s.Read.Sub(s.PreRead).Seconds()
	if used := float64(s.CPUStats.CPUUsage.TotalUsage) - float64(s.PreCPUStats.CPUUsage.TotalUsage); passed > 0 && used > 0 {
		u.CPU = used / 1e9 / passed * 100
	}
	for _, n := range s.Networks {
		u.Received += n.RxBytes
		u.Sent += n.TxBytes
	}
	return u
}

func printStats(w io.Writer, usages []usage) error {
	t := ui.Table{Header: []string{"HOST", "INSTANCE", "CPU", "MEMORY", "LIMIT", "PIDS", "RECEIVED", "SENT"}, Spare: []string{"SENT", "RECEIVED", "PIDS"}}
	for _, u := range usages {
		limit := "-"
		if u.Limit > 0 && u.Limit < 1<<50 {
			limit = phrase.Size(int64(u.Limit))
		}
		t.Add(u.Host, u.Instance, fmt.Sprintf("%.1f%%", u.CPU), phrase.Size(int64(u.Memory)), limit, strconv.Itoa(int(u.Pids)),
			phrase.Size(int64(u.Received)), phrase.Size(int64(u.Sent)))
	}
	return t.Print(w)
}
