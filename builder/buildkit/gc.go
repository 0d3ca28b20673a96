package buildkit

import (
	"time"

	"github.com/moby/buildkit/client"
)

// gcPolicy keeps the cache within keep bytes. What is easy to make again (the
// copies of contexts, mounts of type cache, git checkouts) goes first.
func gcPolicy(keep int64) []client.PruneInfo {
	return []client.PruneInfo{
		{
			Filter:       []string{"type==source.local,type==exec.cachemount,type==source.git.checkout"},
			KeepDuration: 48 * time.Hour,
			MaxUsedSpace: keep / 10,
		},
		{KeepDuration: 60 * 24 * time.Hour, ReservedSpace: keep / 2, MaxUsedSpace: keep},
		{ReservedSpace: keep / 2, MaxUsedSpace: keep},
		{All: true, ReservedSpace: keep / 2, MaxUsedSpace: keep},
	}
}
