package buildkit

import (
	"context"
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
)

// raced is a store of which another build ends a blob while it is listed.
type raced struct{ content.Store }

func (raced) ListStatuses(context.Context, ...string) ([]content.Status, error) {
	return nil, fmt.Errorf("stat data: %w", errdefs.ErrNotFound)
}

func TestRemoveOldIngestsBesideABuild(t *testing.T) {
	if err := removeOldIngests(t.Context(), raced{}); err != nil {
		t.Error(err)
	}
}
