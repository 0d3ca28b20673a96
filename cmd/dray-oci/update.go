//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// update changes the limits of a container to those of a runtime-spec
// resources object. What the object leaves out stays as it is.
func update(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	asked, err := readResources(c.text("resources"))
	if err != nil {
		return 1, err
	}
	config := container.Config()
	limits := config.Cgroups.Resources
	setCPU(limits, asked.CPU)
	setMemory(limits, asked.Memory)
	if asked.Pids != nil && asked.Pids.Limit != nil {
		limits.PidsLimit = asked.Pids.Limit
	}
	if asked.BlockIO != nil && asked.BlockIO.Weight != nil {
		limits.BlkioWeight = *asked.BlockIO.Weight
	}
	if asked.Unified != nil {
		limits.Unified = asked.Unified
	}
	config.Cgroups.SkipDevices = true // device rules stay
	return 0, container.Set(config)
}

func readResources(path string) (specs.LinuxResources, error) {
	var asked specs.LinuxResources
	if path == "" {
		return asked, errors.New("--resources is missing")
	}
	file := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return asked, err
		}
		defer f.Close()
		file = f
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return asked, err
	}
	if err := json.Unmarshal(data, &asked); err != nil {
		return asked, fmt.Errorf("reading the resources: %w", err)
	}
	return asked, nil
}

func setCPU(limits *cgroups.Resources, cpu *specs.LinuxCPU) {
	if cpu == nil {
		return
	}
	if cpu.Quota != nil {
		limits.CpuQuota = *cpu.Quota
	}
	if cpu.Period != nil {
		limits.CpuPeriod = *cpu.Period
	}
	if cpu.Burst != nil {
		limits.CpuBurst = cpu.Burst
	}
	if cpu.Shares != nil {
		limits.CpuShares = *cpu.Shares
		limits.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(*cpu.Shares)
	}
	if cpu.Idle != nil {
		limits.CPUIdle = cpu.Idle
	}
	if cpu.Cpus != "" {
		limits.CpusetCpus = cpu.Cpus
	}
	if cpu.Mems != "" {
		limits.CpusetMems = cpu.Mems
	}
}

func setMemory(limits *cgroups.Resources, memory *specs.LinuxMemory) {
	if memory == nil {
		return
	}
	if memory.Limit != nil {
		limits.Memory = *memory.Limit
		if *memory.Limit == -1 && memory.Swap == nil {
			limits.MemorySwap = -1 // no limit on both: one alone is refused
		}
	}
	if memory.Swap != nil {
		limits.MemorySwap = *memory.Swap
	}
	if memory.Reservation != nil {
		limits.MemoryReservation = *memory.Reservation
	}
}
