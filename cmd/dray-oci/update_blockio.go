//go:build linux && cgo

package main

import (
	"slices"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// setBlockIO sets weights and throttles. Those of a device replace the
// device's own and leave the other devices' alone.
func setBlockIO(limits *cgroups.Resources, block *specs.LinuxBlockIO) {
	if block == nil {
		return
	}
	replace(&limits.BlkioWeight, block.Weight)
	replace(&limits.BlkioLeafWeight, block.LeafWeight)
	for _, device := range block.WeightDevice {
		limits.BlkioWeightDevice = withWeight(limits.BlkioWeightDevice, device)
	}
	for _, kind := range []struct {
		limits *[]*cgroups.ThrottleDevice
		asked  []specs.LinuxThrottleDevice
	}{
		{&limits.BlkioThrottleReadBpsDevice, block.ThrottleReadBpsDevice},
		{&limits.BlkioThrottleWriteBpsDevice, block.ThrottleWriteBpsDevice},
		{&limits.BlkioThrottleReadIOPSDevice, block.ThrottleReadIOPSDevice},
		{&limits.BlkioThrottleWriteIOPSDevice, block.ThrottleWriteIOPSDevice},
	} {
		for _, device := range kind.asked {
			*kind.limits = withThrottle(*kind.limits, device)
		}
	}
}

// withWeight returns devices with the weights of asked. A weight that asked
// leaves out stays.
func withWeight(devices []*cgroups.WeightDevice, asked specs.LinuxWeightDevice) []*cgroups.WeightDevice {
	known := -1
	for i, d := range devices {
		if d.Major == asked.Major && d.Minor == asked.Minor {
			known = i // of two entries for one device the last counts: it is written last
		}
	}
	if known < 0 {
		known = len(devices)
		devices = append(devices, cgroups.NewWeightDevice(asked.Major, asked.Minor, 0, 0))
	}
	replace(&devices[known].Weight, asked.Weight)
	replace(&devices[known].LeafWeight, asked.LeafWeight)
	return devices
}

// withThrottle returns devices with the rate of asked for its device.
func withThrottle(devices []*cgroups.ThrottleDevice, asked specs.LinuxThrottleDevice) []*cgroups.ThrottleDevice {
	devices = slices.DeleteFunc(devices, func(d *cgroups.ThrottleDevice) bool {
		return d.Major == asked.Major && d.Minor == asked.Minor
	})
	return append(devices, cgroups.NewThrottleDevice(asked.Major, asked.Minor, asked.Rate))
}
