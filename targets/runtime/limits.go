package runtime

import (
	"os"
	"slices"

	"dray/pipeline"
	"dray/targets/runtime/cgroup"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	defaultPids = 4096
	cpuPeriod   = 100_000 // microseconds, the kernel's default
)

// resources converts limits. Swap is as much as memory on both versions of
// cgroups, which means none in addition.
func resources(r pipeline.Resources) *specs.LinuxResources {
	out := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, // the runtime adds the usual ones
	}
	pids := r.Pids
	if pids == 0 {
		pids = defaultPids
	}
	out.Pids = &specs.LinuxPids{Limit: &pids}
	if r.CPU > 0 {
		quota, period := int64(r.CPU*cpuPeriod), uint64(cpuPeriod)
		out.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if r.Memory > 0 {
		limit := int64(r.Memory)
		out.Memory = &specs.LinuxMemory{Limit: &limit}
		if countsSwap() {
			out.Memory.Swap = &limit
		}
	}
	return out
}

// countsSwap says whether this host can limit swap: version 1 only where the
// kernel was started with it.
func countsSwap() bool {
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
		return true // version 2
	}
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	return err == nil
}

// unlimit names the limits that r takes away: what an update leaves out would
// stay.
func unlimit(limits *specs.LinuxResources, r pipeline.Resources) {
	none := int64(-1)
	if r.CPU == 0 {
		period := uint64(cpuPeriod)
		limits.CPU = &specs.LinuxCPU{Quota: &none, Period: &period}
	}
	if r.Memory == 0 {
		limits.Memory = &specs.LinuxMemory{Limit: &none}
		if countsSwap() {
			limits.Memory.Swap = &none
		}
	}
}

// enforceable takes away the limits that this host has no controller for: an
// OCI runtime fails over each of them. The agent says which when it prepares a
// release.
func enforceable(limits *specs.LinuxResources) *specs.LinuxResources {
	_, works := cgroup.Controllers()
	if !slices.Contains(works, "cpu") {
		limits.CPU = nil
	}
	if !slices.Contains(works, "memory") {
		limits.Memory = nil
	}
	if !slices.Contains(works, "pids") {
		limits.Pids = nil
	}
	return limits
}
