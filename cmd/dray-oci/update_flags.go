//go:build linux && cgo

package main

import (
	"fmt"
	"strconv"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// updateFlags are --resources and a flag for each limit that callers change
// by itself.
var updateFlags = []flag{
	{name: "resources", short: "r", value: true},
	{name: "blkio-weight", value: true},
	{name: "cpu-period", value: true}, {name: "cpu-quota", value: true}, {name: "cpu-burst", value: true},
	{name: "cpu-share", value: true}, {name: "cpu-idle", value: true},
	{name: "cpu-rt-period", value: true}, {name: "cpu-rt-runtime", value: true},
	{name: "cpuset-cpus", value: true}, {name: "cpuset-mems", value: true},
	{name: "memory", value: true}, {name: "memory-reservation", value: true}, {name: "memory-swap", value: true},
	{name: "pids-limit", value: true},
}

// flagResources returns the limits of the flags of update, and the name of one
// that is given; "": none is.
func flagResources(c call) (*specs.LinuxResources, string, error) {
	asked := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, BlockIO: &specs.LinuxBlockIO{}, Pids: &specs.LinuxPids{},
	}
	var given string
	for _, limit := range []struct {
		flag string
		set  func(text string) error
	}{
		{"blkio-weight", func(text string) error {
			n, err := strconv.ParseUint(text, 10, 16)
			weight := uint16(n)
			asked.BlockIO.Weight = &weight
			return err
		}},
		{"cpu-period", unsigned(&asked.CPU.Period)},
		{"cpu-quota", signed(&asked.CPU.Quota)},
		{"cpu-burst", unsigned(&asked.CPU.Burst)},
		{"cpu-share", unsigned(&asked.CPU.Shares)},
		{"cpu-idle", signed(&asked.CPU.Idle)},
		{"cpu-rt-period", unsigned(&asked.CPU.RealtimePeriod)},
		{"cpu-rt-runtime", signed(&asked.CPU.RealtimeRuntime)},
		{"cpuset-cpus", func(text string) error { asked.CPU.Cpus = text; return nil }},
		{"cpuset-mems", func(text string) error { asked.CPU.Mems = text; return nil }},
		{"memory", size(&asked.Memory.Limit)},
		{"memory-reservation", size(&asked.Memory.Reservation)},
		{"memory-swap", size(&asked.Memory.Swap)},
		{"pids-limit", signed(&asked.Pids.Limit)},
	} {
		text := c.text(limit.flag)
		if text == "" {
			continue
		}
		given = limit.flag
		if err := limit.set(text); err != nil {
			return nil, given, fmt.Errorf("invalid value for %s: %w", limit.flag, err)
		}
	}
	return asked, given, nil
}

func unsigned(to **uint64) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseUint(text, 10, 64)
		*to = &n
		return err
	}
}

func signed(to **int64) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		*to = &n
		return err
	}
}

// size reads bytes with an optional unit ("50M", "1.5GiB"), or -1: no limit.
func size(to **int64) func(string) error {
	return func(text string) error {
		n, err := int64(-1), error(nil)
		if text != "-1" {
			n, err = units.RAMInBytes(text)
		}
		*to = &n
		return err
	}
}
