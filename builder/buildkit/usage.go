package buildkit

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"
)

// Usage is what a builder's cache holds.
type Usage struct {
	Records     int   `json:"records"`
	Total       int64 `json:"total"`       // bytes
	Reclaimable int64 `json:"reclaimable"` // bytes of what is not in use
}

// Usage returns the size of the build cache.
func (c *Client) Usage(ctx context.Context) (Usage, error) {
	records, err := c.conn.DiskUsage(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("reading the build cache's size: %w", err)
	}
	var u Usage
	for _, r := range records {
		u.Records++
		u.Total += r.Size
		if !r.InUse {
			u.Reclaimable += r.Size
		}
	}
	return u, nil
}

// PruneTo removes build cache that has not been used for the time of unused, or
// that goes beyond keep bytes, the least recently used first; zero of both
// removes all that is not in use. It returns the bytes freed.
func (c *Client) PruneTo(ctx context.Context, keep int64, unused time.Duration) (int64, error) {
	bounds := []client.PruneOption{client.WithKeepOpt(0, 0, keep, 0)}
	if unused > 0 {
		bounds = []client.PruneOption{client.WithKeepOpt(unused, 0, 0, 0)}
		if keep > 0 {
			bounds = append(bounds, client.WithKeepOpt(0, 0, keep, 0))
		}
	}
	var freed int64
	for _, bound := range bounds {
		n, err := c.prune(ctx, bound)
		freed += n
		if err != nil {
			return freed, fmt.Errorf("pruning the build cache: %w", err)
		}
	}
	return freed, nil
}

func (c *Client) prune(ctx context.Context, bound client.PruneOption) (freed int64, err error) {
	removed := make(chan client.UsageInfo)
	var group errgroup.Group
	group.Go(func() error {
		defer close(removed)
		return c.conn.Prune(ctx, removed, client.PruneAll, bound)
	})
	for r := range removed {
		freed += r.Size
	}
	return freed, group.Wait()
}
