package environment

import (
	"context"
	"slices"

	"github.com/moby/moby/api/types/container"
	"golang.org/x/sync/errgroup"

	"dray/deploy"
)

// Usage is what one container uses.
type Usage struct {
	Host     string  `json:"host"`
	Instance string  `json:"instance"`
	CPU      float64 `json:"cpu"`    // percent of one core
	Memory   uint64  `json:"memory"` // bytes
	Limit    uint64  `json:"limit"`  // bytes
	Pids     uint64  `json:"pids"`
	Received uint64  `json:"received"` // bytes since the start
	Sent     uint64  `json:"sent"`
}

// UsagesOf measures the containers that run, side by side.
func UsagesOf(ctx context.Context, containers []Container) ([]Usage, error) {
	running := slices.DeleteFunc(containers, func(c Container) bool { return c.State != "running" })
	usages := make([]Usage, len(running))
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

func usageOf(c *Container, s *container.StatsResponse) Usage {
	u := Usage{Host: c.Engine.Host, Instance: c.Instance(), Memory: s.MemoryStats.Usage, Limit: s.MemoryStats.Limit, Pids: s.PidsStats.Current}
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
