package buildkit

import (
	"time"

	"github.com/moby/buildkit/client"
)

// gcPolicy keeps the cache within keep bytes, and nothing that has not been used
// for the time of unused. What is easy to make again (the
// copies of contexts, mounts of type cache, git checkouts) goes first.
func gcPolicy(keep int64, unused time.Duration) []client.PruneInfo {
	return []client.PruneInfo{
		{
			Filter:       []string{"type==source.local,type==exec.cachemount,type==source.git.checkout"},
			KeepDuration: min(48*time.Hour, unused),
			MaxUsedSpace: keep / 10,
		},
		{All: true, KeepDuration: unused},
		{ReservedSpace: keep / 2, MaxUsedSpace: keep},
		{All: true, ReservedSpace: keep / 2, MaxUsedSpace: keep},
	}
}
