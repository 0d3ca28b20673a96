package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Stats is what a group uses.
type Stats struct {
	CPU         CPU
	Memory      Memory
	Pids        uint64 // tasks, threads included
	PidsLimit   uint64 // 0: none
	Block       []BlockDevice
	MemoryStats map[string]uint64 // the kernel's memory.stat
}

// CPU is time spent, in nanoseconds since the group was made.
type CPU struct {
	Total, User, System       uint64
	Periods, ThrottledPeriods uint64
	Throttled                 uint64 // nanoseconds
}

// Memory is in bytes.
type Memory struct {
	Usage    uint64
	Inactive uint64 // file pages that the kernel would drop first; part of Usage
	Limit    uint64 // 0: none
	OOMKills uint64
}

// BlockDevice is what was read from and written to one device.
type BlockDevice struct {
	Major, Minor          uint64
	ReadBytes, WriteBytes uint64
	Reads, Writes         uint64
}

// unlimited is what version 1 shows where there is no limit: more than any
// machine has.
const unlimited = 1 << 62

// Stats reads everything. A controller that is not there counts as zero.
func (g Group) Stats() (Stats, error) {
	if g.V2() {
		return g.statsV2()
	}
	return g.statsV1()
}

// Pids returns the ids of the processes in the group and below it.
func (g Group) Pids() ([]int, error) {
	dir := g.unified
	if dir == "" {
		dir = g.folders["pids"]
	}
	if dir == "" {
		dir = g.folders["memory"]
	}
	var pids []int
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for line := range strings.Lines(string(data)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				pids = append(pids, pid)
			}
		}
		return err
	})
	return pids, err
}

func (g Group) statsV2() (Stats, error) {
	var s Stats
	file := func(name string) string { return filepath.Join(g.unified, name) }
	cpu, err := readKeys(file("cpu.stat"))
	if err != nil {
		return s, err
	}
	s.CPU = CPU{
		Total: cpu["usage_usec"] * 1000, User: cpu["user_usec"] * 1000, System: cpu["system_usec"] * 1000,
		Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], Throttled: cpu["throttled_usec"] * 1000,
	}
	s.Memory.Usage, _ = readNumber(file("memory.current")) // a missing controller is zero, here and below
	s.Memory.Limit, _ = readNumber(file("memory.max"))
	s.MemoryStats, _ = readKeys(file("memory.stat"))
	s.Memory.Inactive = s.MemoryStats["inactive_file"]
	s.Memory.OOMKills, _ = g.OOMKills()
	s.Pids, _ = readNumber(file("pids.current"))
	s.PidsLimit, _ = readNumber(file("pids.max"))
	io, _ := os.ReadFile(file("io.stat"))
	s.Block = parseIO(string(io))
	return s, nil
}

// parseIO reads io.stat: "MAJ:MIN rbytes=N wbytes=N rios=N wios=N …".
func parseIO(data string) []BlockDevice {
	var all []BlockDevice
	for line := range strings.Lines(data) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		d, ok := device(fields[0])
		if !ok {
			continue
		}
		for _, field := range fields[1:] {
			key, value, _ := strings.Cut(field, "=")
			n, _ := strconv.ParseUint(value, 10, 64)
			switch key {
			case "rbytes":
				d.ReadBytes = n
			case "wbytes":
				d.WriteBytes = n
			case "rios":
				d.Reads = n
			case "wios":
				d.Writes = n
			}
		}
		all = append(all, d)
	}
	return all
}

func device(text string) (BlockDevice, bool) {
	major, minor, ok := strings.Cut(text, ":")
	a, err := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	return BlockDevice{Major: a, Minor: b}, ok && err == nil && err2 == nil
}

func (g Group) statsV1() (Stats, error) {
	var s Stats
	file := func(controller, name string) string { return filepath.Join(g.folders[controller], name) }
	var err error
	if s.CPU.Total, err = readNumber(file("cpuacct", "cpuacct.usage")); err != nil {
		return s, err
	}
	const tick = 1e7 // USER_HZ is 100 on every architecture that matters here
	spent, _ := readKeys(file("cpuacct", "cpuacct.stat"))
	s.CPU.User, s.CPU.System = spent["user"]*tick, spent["system"]*tick
	cpu, _ := readKeys(file("cpu", "cpu.stat"))
	s.CPU.Periods, s.CPU.ThrottledPeriods, s.CPU.Throttled = cpu["nr_periods"], cpu["nr_throttled"], cpu["throttled_time"]
	s.Memory.Usage, _ = readNumber(file("memory", "memory.usage_in_bytes")) // a missing controller is zero, here and below
	if limit, _ := readNumber(file("memory", "memory.limit_in_bytes")); limit < unlimited {
		s.Memory.Limit = limit
	}
	s.MemoryStats, _ = readKeys(file("memory", "memory.stat"))
	s.Memory.Inactive = s.MemoryStats["total_inactive_file"]
	s.Memory.OOMKills, _ = g.OOMKills()
	s.Pids, _ = readNumber(file("pids", "pids.current"))
	s.PidsLimit, _ = readNumber(file("pids", "pids.max"))
	moved, _ := os.ReadFile(file("blkio", "blkio.throttle.io_service_bytes"))
	count, _ := os.ReadFile(file("blkio", "blkio.throttle.io_serviced"))
	s.Block = parseBlkio(string(moved), string(count))
	return s, nil
}

// parseBlkio reads two files of "MAJ:MIN Read|Write|… N" lines.
func parseBlkio(moved, count string) []BlockDevice {
	var all []BlockDevice
	at := map[[2]uint64]int{}
	each := func(data string, set func(d *BlockDevice, op string, n uint64)) {
		for line := range strings.Lines(data) {
			fields := strings.Fields(line)
			if len(fields) != 3 {
				continue
			}
			d, ok := device(fields[0])
			n, err := strconv.ParseUint(fields[2], 10, 64)
			if !ok || err != nil {
				continue
			}
			key := [2]uint64{d.Major, d.Minor}
			i, known := at[key]
			if !known {
				i = len(all)
				at[key] = i
				all = append(all, d)
			}
			set(&all[i], fields[1], n)
		}
	}
	each(moved, func(d *BlockDevice, op string, n uint64) {
		switch op {
		case "Read":
			d.ReadBytes = n
		case "Write":
			d.WriteBytes = n
		}
	})
	each(count, func(d *BlockDevice, op string, n uint64) {
		switch op {
		case "Read":
			d.Reads = n
		case "Write":
			d.Writes = n
		}
	})
	return all
}
