package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// restEvery is how often the agent looks whether it works.
	restEvery = 2 * time.Second
	// restBelow is how many bytes it may allocate in that time and still be at
	// rest; what its health checks take is far less.
	restBelow = 4 << 20
)

// rest gives the memory that work took back to the host, once that is over. The
// runtime would, too, but collects what a daemon that mostly waits has left
// behind only every two minutes.
func rest(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last, worked := uint64(0), true // to start is work
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := allocated()
		switch {
		case now-last > restBelow:
			worked = true
		case worked:
			debug.FreeOSMemory()
			worked = false
		}
		last = now
	}
}

// allocated is how many bytes the heap has ever given out.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
