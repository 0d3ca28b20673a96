//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/types"
	"github.com/sirupsen/logrus"
)

// events prints a container's figures, one JSON object a line: once with
// --stats, otherwise every --interval, and a line for each time that its
// memory ran out, until it ends.
func events(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	interval := 5 * time.Second
	if text := c.text("interval"); text != "" {
		if interval, err = time.ParseDuration(text); err != nil {
			return 1, fmt.Errorf("--interval: %w", err)
		}
	}
	if interval <= 0 {
		return 1, errors.New("duration interval must be greater than 0")
	}
	status, err := container.Status()
	if err != nil {
		return 1, err
	}
	if status == libcontainer.Stopped {
		return 1, fmt.Errorf("container with id %s is not running", container.ID())
	}
	if c.has("stats") {
		return 0, printStats(container)
	}
	return 0, follow(container, interval)
}

// follow prints events until the container ends: then libcontainer closes the
// channel.
func follow(container *libcontainer.Container, interval time.Duration) error {
	exhausted, err := container.NotifyOOM()
	if err != nil {
		return err
	}
	clock := time.NewTicker(interval)
	defer clock.Stop()
	out := json.NewEncoder(os.Stdout)
	for {
		select {
		case _, open := <-exhausted:
			if !open {
				return nil
			}
			if err := out.Encode(types.Event{Type: "oom", ID: container.ID()}); err != nil {
				return err
			}
		case <-clock.C:
			if err := printStats(container); err != nil {
				logrus.Error(err) // its groups are going: the channel tells
			}
		}
	}
}

func printStats(container *libcontainer.Container) error {
	stats, err := container.Stats()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(types.Event{Type: "stats", ID: container.ID(), Data: figures(stats)})
}

// figures puts what libcontainer measured into the form that callers read.
func figures(measured *libcontainer.Stats) *types.Stats {
	from := measured.CgroupStats
	if from == nil {
		return nil
	}
	stats := &types.Stats{
		CPUSet:            types.CPUSet(from.CPUSetStats),
		Hugetlb:           map[string]types.Hugetlb{},
		NetworkInterfaces: measured.Interfaces,
	}
	stats.Pids = types.Pids{Current: from.PidsStats.Current, Limit: from.PidsStats.Limit}
	used, throttled := from.CpuStats.CpuUsage, from.CpuStats.ThrottlingData
	stats.CPU = types.Cpu{
		Usage: types.CpuUsage{
			Total: used.TotalUsage, Kernel: used.UsageInKernelmode, User: used.UsageInUsermode,
			Percpu: used.PercpuUsage, PercpuKernel: used.PercpuUsageInKernelmode, PercpuUser: used.PercpuUsageInUsermode,
		},
		Throttling: types.Throttling{
			Periods: throttled.Periods, ThrottledPeriods: throttled.ThrottledPeriods, ThrottledTime: throttled.ThrottledTime,
		},
		PSI: from.CpuStats.PSI,
	}
	memory := from.MemoryStats
	stats.Memory = types.Memory{
		Cache: memory.Cache, Usage: memoryFigures(memory.Usage), Swap: memoryFigures(memory.SwapUsage),
		Kernel: memoryFigures(memory.KernelUsage), KernelTCP: memoryFigures(memory.KernelTCPUsage),
		Raw: memory.Stats, PSI: memory.PSI,
	}
	block := from.BlkioStats
	stats.Blkio = types.Blkio{
		IoServiceBytesRecursive: blockFigures(block.IoServiceBytesRecursive),
		IoServicedRecursive:     blockFigures(block.IoServicedRecursive),
		IoQueuedRecursive:       blockFigures(block.IoQueuedRecursive),
		IoServiceTimeRecursive:  blockFigures(block.IoServiceTimeRecursive),
		IoWaitTimeRecursive:     blockFigures(block.IoWaitTimeRecursive),
		IoMergedRecursive:       blockFigures(block.IoMergedRecursive),
		IoTimeRecursive:         blockFigures(block.IoTimeRecursive),
		SectorsRecursive:        blockFigures(block.SectorsRecursive),
		PSI:                     block.PSI,
	}
	for size, pages := range from.HugetlbStats {
		stats.Hugetlb[size] = types.Hugetlb{Usage: pages.Usage, Max: pages.MaxUsage, Failcnt: pages.Failcnt}
	}
	return stats
}

func memoryFigures(from cgroups.MemoryData) types.MemoryEntry {
	return types.MemoryEntry{Limit: from.Limit, Usage: from.Usage, Max: from.MaxUsage, Failcnt: from.Failcnt}
}

func blockFigures(from []cgroups.BlkioStatEntry) []types.BlkioEntry {
	entries := make([]types.BlkioEntry, len(from))
	for i, entry := range from {
		entries[i] = types.BlkioEntry(entry)
	}
	return entries
}
