//go:build linux && cgo

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/go-runc"
	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestUpdateSetsWhatIsAskedForAlone(t *testing.T) {
	weight, leaf := uint16(200), uint16(300)
	limits := &cgroups.Resources{
		BlkioWeight:       100,
		BlkioWeightDevice: []*cgroups.WeightDevice{cgroups.NewWeightDevice(8, 0, 10, 20), cgroups.NewWeightDevice(8, 16, 30, 40)},
		BlkioThrottleReadBpsDevice: []*cgroups.ThrottleDevice{
			cgroups.NewThrottleDevice(8, 0, 1), cgroups.NewThrottleDevice(8, 0, 2), cgroups.NewThrottleDevice(8, 16, 3),
		},
	}
	asked := &specs.LinuxBlockIO{
		LeafWeight: &leaf,
		WeightDevice: []specs.LinuxWeightDevice{
			{LinuxBlockIODevice: device(8, 16), Weight: &weight}, {LinuxBlockIODevice: device(8, 32), LeafWeight: &leaf},
		},
		ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{throttle(8, 0, 9)},
		ThrottleWriteBpsDevice:  []specs.LinuxThrottleDevice{throttle(8, 0, 10)},
		ThrottleReadIOPSDevice:  []specs.LinuxThrottleDevice{throttle(8, 0, 11)},
		ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{throttle(8, 0, 12)},
	}
	setBlockIO(limits, asked)
	if limits.BlkioWeight != 100 || limits.BlkioLeafWeight != leaf {
		t.Errorf("the weights are %d and %d", limits.BlkioWeight, limits.BlkioLeafWeight)
	}
	var weights []string
	for _, d := range limits.BlkioWeightDevice {
		weights = append(weights, d.WeightString()+"/"+d.LeafWeightString())
	}
	if got := strings.Join(weights, ", "); got != "8:0 10/8:0 20, 8:16 200/8:16 40, 8:32 0/8:32 300" {
		t.Errorf("the devices' weights are %s", got)
	}
	for want, got := range map[string][]*cgroups.ThrottleDevice{
		"8:16 3, 8:0 9": limits.BlkioThrottleReadBpsDevice, "8:0 10": limits.BlkioThrottleWriteBpsDevice,
		"8:0 11": limits.BlkioThrottleReadIOPSDevice, "8:0 12": limits.BlkioThrottleWriteIOPSDevice,
	} {
		var rates []string
		for _, d := range got {
			rates = append(rates, d.String())
		}
		if s := strings.Join(rates, ", "); s != want {
			t.Errorf("the rates are %s, want %s", s, want)
		}
	}
}

func device(major, minor int64) specs.LinuxBlockIODevice {
	return specs.LinuxBlockIODevice{Major: major, Minor: minor}
}

func throttle(major, minor int64, rate uint64) specs.LinuxThrottleDevice {
	return specs.LinuxThrottleDevice{LinuxBlockIODevice: device(major, minor), Rate: rate}
}

func TestUpdateSetsFurtherLimits(t *testing.T) {
	class, runtime, period, swappiness := uint32(7), int64(5000), uint64(10000), uint64(60)
	limits := &cgroups.Resources{HugetlbLimit: []*cgroups.HugepageLimit{{Pagesize: "2MB", Limit: 1}, {Pagesize: "1GB", Limit: 2}}}
	setFurther(limits, &specs.LinuxResources{
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 9}},
		Rdma:           map[string]specs.LinuxRdma{"mlx": {}},
		Network:        &specs.LinuxNetwork{ClassID: &class, Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 3}}},
	})
	setCPU(limits, &specs.LinuxCPU{RealtimeRuntime: &runtime, RealtimePeriod: &period})
	setMemory(limits, &specs.LinuxMemory{Swappiness: &swappiness})
	if len(limits.HugetlbLimit) != 2 || limits.HugetlbLimit[0].Limit != 2 || limits.HugetlbLimit[1].Limit != 9 {
		t.Errorf("the limits of pages are %+v", limits.HugetlbLimit)
	}
	if _, ok := limits.Rdma["mlx"]; !ok || limits.NetClsClassid != class || len(limits.NetPrioIfpriomap) != 1 {
		t.Errorf("the limits are %+v", limits)
	}
	if limits.CpuRtRuntime != runtime || limits.CpuRtPeriod != period || *limits.MemorySwappiness != swappiness {
		t.Errorf("the limits are %+v", limits)
	}
	if off := true; refuse(limits, &specs.LinuxResources{Memory: &specs.LinuxMemory{DisableOOMKiller: &off}}) == nil {
		t.Error("a change of what can't be changed is taken")
	}
}

func TestIdleGroupsKeepNoShares(t *testing.T) {
	one, zero, shares := int64(1), int64(0), uint64(512)
	for name, test := range map[string]struct {
		was         *int64
		asked       specs.LinuxCPU
		now, after  uint64
		stillWrites bool // the group's idleness
	}{
		"become idle":            {nil, specs.LinuxCPU{Idle: &one}, 0, 0, true},
		"be idle no more":        {&one, specs.LinuxCPU{Idle: &zero}, 0, 0, true},
		"no more, and shares":    {&one, specs.LinuxCPU{Idle: &zero, Shares: &shares}, 0, 512, true},
		"shares alone":           {&one, specs.LinuxCPU{Shares: &shares}, 512, 0, false},
		"something else":         {&one, specs.LinuxCPU{Cpus: "0"}, 0, 0, true},
		"something else, unidle": {nil, specs.LinuxCPU{Cpus: "0"}, 100, 0, false},
	} {
		limits := &cgroups.Resources{CpuShares: 100, CpuWeight: 4, CPUIdle: test.was}
		if after := setCPU(limits, &test.asked); limits.CpuShares != test.now || after != test.after || (limits.CPUIdle != nil) != test.stillWrites {
			t.Errorf("%s: shares %d, then %d, idle %v", name, limits.CpuShares, after, limits.CPUIdle)
		}
		if (limits.CpuWeight == 0) != (limits.CpuShares == 0) {
			t.Errorf("%s: the weight is %d with %d shares", name, limits.CpuWeight, limits.CpuShares)
		}
	}
}

func TestUpdateTakesFlags(t *testing.T) {
	given, _, err := parse(updateFlags, []string{
		"--memory", "50M", "--memory-swap=-1", "--pids-limit", "0", "--cpu-quota", "-1", "--cpu-rt-runtime", "3", "--blkio-weight", "500", "id",
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	asked, name, err := flagResources(call{values: given})
	if err != nil || name == "" {
		t.Fatal(name, err)
	}
	if *asked.Memory.Limit != 50<<20 || *asked.Memory.Swap != -1 || *asked.Pids.Limit != 0 || *asked.CPU.Quota != -1 ||
		*asked.CPU.RealtimeRuntime != 3 || *asked.BlockIO.Weight != 500 || asked.CPU.Period != nil {
		t.Errorf("%+v", asked)
	}
	for flag, text := range map[string]string{"memory": "much", "cpu-period": "-1", "blkio-weight": "70000", "cpu-idle": "x"} {
		if _, _, err := flagResources(call{values: values{flag: {text}}}); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("--%s %s: %v", flag, text, err)
		}
	}
	if _, err := askedResources(call{values: values{"resources": {"-"}, "memory": {"1"}}}); err == nil {
		t.Error("a file and a flag are taken together, though one is ignored")
	}
}

func TestUpdateReachesTheGroup(t *testing.T) {
	r, dir := bundle(t, "sleep 60")
	ctx := t.Context()
	if err := r.Create(ctx, "up", dir, &runc.CreateOpts{IO: newOutput(t)}); err != nil {
		t.Fatal(err)
	}
	defer r.Delete(context.WithoutCancel(ctx), "up", &runc.DeleteOpts{Force: true})
	one, zero, shares := int64(1), int64(0), uint64(1024)
	if _, ok := groupFile("cpu.idle"); !ok {
		t.Skip("this kernel knows no idle groups")
	}
	for _, step := range []struct {
		cpu    specs.LinuxCPU
		idle   string
		shares string // in version 1
		weight string // in version 2
	}{
		{specs.LinuxCPU{Shares: &shares}, "0", "1024", "100"},
		{specs.LinuxCPU{Idle: &one}, "1", "", ""},
		{specs.LinuxCPU{Cpus: "0"}, "1", "", ""},
		{specs.LinuxCPU{Idle: &zero, Shares: &shares}, "0", "1024", "100"},
	} {
		if err := r.Update(ctx, "up", &specs.LinuxResources{CPU: &step.cpu}); err != nil {
			t.Fatalf("%+v: %v", step.cpu, err)
		}
		if got, _ := groupFile("cpu.idle"); got != step.idle {
			t.Errorf("%+v: idle is %q", step.cpu, got)
		}
		if got, ok := groupFile("cpu.shares"); ok && step.shares != "" && got != step.shares {
			t.Errorf("%+v: shares are %q", step.cpu, got)
		}
		if got, ok := groupFile("cpu.weight"); ok && step.weight != "" && got != step.weight {
			t.Errorf("%+v: the weight is %q", step.cpu, got)
		}
	}
}

// groupFile reads a file of the test container's group.
func groupFile(name string) (string, bool) {
	controller, _, _ := strings.Cut(name, ".")
	for _, hierarchy := range []string{controller, ""} {
		data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", hierarchy, testGroup(), "c", name))
		if err == nil {
			return strings.TrimSpace(string(data)), true
		}
	}
	return "", false
}
