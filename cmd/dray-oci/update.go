//go:build linux && cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
)

// update changes the limits of a container to those of a runtime-spec
// resources object, or to those of the flags. What is left out stays as it is,
// with one exception of the kernel's: a group that stops being idle has the
// default shares.
//
// Device rules are never changed, so that what a plugin has allowed beside the
// configuration stays allowed. Callers send them nevertheless, with the rest
// of the container's configuration: only other ones are worth a warning.
func update(c call) (int, error) {
	container, err := load(c)
	if err != nil {
		return 1, err
	}
	asked, err := askedResources(c)
	if err != nil {
		return 1, err
	}
	config := container.Config()
	limits := config.Cgroups.Resources
	setMemory(limits, asked.Memory)
	if asked.Pids != nil && asked.Pids.Limit != nil {
		limits.PidsLimit = asked.Pids.Limit
	}
	setBlockIO(limits, asked.BlockIO)
	setFurther(limits, asked)
	if err := refuse(limits, asked); err != nil {
		return 1, err
	}
	warnOfDevices(container, asked.Devices)
	limits.SkipDevices = true
	shares := setCPU(limits, asked.CPU)
	if err := container.Set(config); err != nil || shares == 0 {
		return 0, err
	}
	return 0, setShares(container, shares)
}

// askedResources are those of the file of --resources, or of the flags.
func askedResources(c call) (*specs.LinuxResources, error) {
	asked, given, err := flagResources(c)
	path := c.text("resources")
	switch {
	case err != nil:
		return nil, err
	case path == "":
		return asked, nil
	case given != "":
		return nil, fmt.Errorf("--resources and --%s exclude each other", given)
	}
	file := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		file = f
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("reading the resources: %w", err)
	}
	if err := json.Unmarshal(data, asked); err != nil {
		return nil, fmt.Errorf("reading the resources: %w", err)
	}
	return asked, nil
}

// refuse names what is asked for and can't be done.
func refuse(limits *cgroups.Resources, asked *specs.LinuxResources) error {
	if m := asked.Memory; m != nil && m.DisableOOMKiller != nil && *m.DisableOOMKiller != limits.OomKillDisable {
		return errors.New("memory.disableOOMKiller can't be changed while the container runs")
	}
	return nil
}

// warnOfDevices says when rules are asked for that the container does not have.
func warnOfDevices(container *libcontainer.Container, asked []specs.LinuxDeviceCgroup) {
	if len(asked) == 0 {
		return
	}
	spec, err := ownSpec(container)
	if err == nil && spec.Linux != nil && spec.Linux.Resources != nil && reflect.DeepEqual(asked, spec.Linux.Resources.Devices) {
		return
	}
	logrus.Warn("device rules are ignored: they can't be changed while the container runs")
}

// setCPU returns the shares that are to be set once all else is, or 0: an idle
// group refuses shares (EINVAL), so that they wait until it is idle no more.
func setCPU(limits *cgroups.Resources, cpu *specs.LinuxCPU) uint64 {
	if cpu == nil {
		cpu = &specs.LinuxCPU{}
	}
	replace(&limits.CpuQuota, cpu.Quota)
	replace(&limits.CpuPeriod, cpu.Period)
	replace(&limits.CpuRtRuntime, cpu.RealtimeRuntime)
	replace(&limits.CpuRtPeriod, cpu.RealtimePeriod)
	if cpu.Burst != nil {
		limits.CpuBurst = cpu.Burst
	}
	if cpu.Cpus != "" {
		limits.CpusetCpus = cpu.Cpus
	}
	if cpu.Mems != "" {
		limits.CpusetMems = cpu.Mems
	}
	idle := limits.CPUIdle != nil && *limits.CPUIdle != 0
	switch {
	case cpu.Idle != nil:
		limits.CPUIdle = cpu.Idle
		keepShares(limits)
		if cpu.Shares != nil {
			return *cpu.Shares
		}
	case cpu.Shares != nil:
		limits.CPUIdle = nil // shares asked of an idle group: the kernel's answer is the answer
		askShares(limits, *cpu.Shares)
	case idle:
		keepShares(limits)
	}
	return 0
}

// keepShares leaves a group's shares to the kernel.
func keepShares(limits *cgroups.Resources) { askShares(limits, 0) }

// askShares sets the shares in the form of either version of cgroups.
func askShares(limits *cgroups.Resources, shares uint64) {
	limits.CpuShares = shares
	limits.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(shares)
}

// setShares changes nothing but the shares.
func setShares(container *libcontainer.Container, shares uint64) error {
	config := container.Config()
	config.Cgroups.SkipDevices = true
	askShares(config.Cgroups.Resources, shares)
	return container.Set(config)
}

func setMemory(limits *cgroups.Resources, memory *specs.LinuxMemory) {
	limits.MemoryCheckBeforeUpdate = false // it is asked for anew each time
	if memory == nil {
		return
	}
	if memory.Limit != nil && *memory.Limit == -1 && memory.Swap == nil {
		limits.MemorySwap = -1 // no limit on both: one alone is refused
	}
	replace(&limits.Memory, memory.Limit)
	replace(&limits.MemorySwap, memory.Swap)
	replace(&limits.MemoryReservation, memory.Reservation)
	replace(&limits.MemoryCheckBeforeUpdate, memory.CheckBeforeUpdate)
	if memory.Swappiness != nil {
		limits.MemorySwappiness = memory.Swappiness
	}
	//nolint:staticcheck // callers still send what the specification deprecates
	if memory.Kernel != nil || memory.KernelTCP != nil {
		logrus.Warn("limits of the kernel's memory are ignored: the kernel has none any more")
	}
}

// setFurther sets what is neither of CPU nor of memory nor of block devices.
// An entry replaces the one that names the same and leaves the others alone.
func setFurther(limits *cgroups.Resources, asked *specs.LinuxResources) {
	for _, page := range asked.HugepageLimits {
		limits.HugetlbLimit = append(slices.DeleteFunc(limits.HugetlbLimit, func(h *cgroups.HugepageLimit) bool {
			return h.Pagesize == page.Pagesize
		}), &cgroups.HugepageLimit{Pagesize: page.Pagesize, Limit: page.Limit})
	}
	for device, rdma := range asked.Rdma {
		if limits.Rdma == nil {
			limits.Rdma = map[string]cgroups.LinuxRdma{}
		}
		limits.Rdma[device] = cgroups.LinuxRdma{HcaHandles: rdma.HcaHandles, HcaObjects: rdma.HcaObjects}
	}
	if network := asked.Network; network != nil {
		replace(&limits.NetClsClassid, network.ClassID)
		for _, p := range network.Priorities {
			limits.NetPrioIfpriomap = append(slices.DeleteFunc(limits.NetPrioIfpriomap, func(m *cgroups.IfPrioMap) bool {
				return m.Interface == p.Name
			}), &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
		}
	}
	if asked.Unified != nil {
		limits.Unified = asked.Unified
	}
}

// replace stores what value points to, if anything.
func replace[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}
