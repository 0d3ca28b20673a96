package buildkit

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client"
	"golang.org/x/sync/errgroup"

	"dray/pipeline"
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

// PruneOptions says what of the build cache to remove.
type PruneOptions struct {
	All  bool           // also what other records are made of
	Keep pipeline.Bytes // the most recently used stays, up to this
}

// Prune removes build cache and returns the bytes that it freed.
func (c *Client) Prune(ctx context.Context, o PruneOptions) (int64, error) {
	options := []client.PruneOption{client.WithKeepOpt(0, 0, int64(o.Keep), 0)}
	if o.All {
		options = append(options, client.PruneAll)
	}
	removed := make(chan client.UsageInfo)
	var freed int64
	var group errgroup.Group
	group.Go(func() error {
		defer close(removed)
		return c.conn.Prune(ctx, removed, options...)
	})
	for r := range removed {
		freed += r.Size
	}
	if err := group.Wait(); err != nil {
		return freed, fmt.Errorf("pruning the build cache: %w", err)
	}
	return freed, nil
}
