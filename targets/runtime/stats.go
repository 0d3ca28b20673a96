package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"dray/pipeline"
	"dray/targets/runtime/cgroup"

	"golang.org/x/sys/unix"
)

// Stats is what a container uses at one moment.
type Stats struct {
	cgroup.Stats
	Read     time.Time
	CPUs     int                     // that are online on the host
	System   uint64                  // CPU time of the whole host in nanoseconds, all states
	Networks map[string]NetworkStats // by interface
}

// NetworkStats counts what went through an interface, as the container sees
// it.
type NetworkStats struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// Stats reads what a container uses. One without a process uses nothing.
func (e *Engine) Stats(idOrName string) (Stats, error) {
	c, err := e.find(idOrName)
	if err != nil {
		return Stats{}, err
	}
	value := c.snapshot()
	if !value.live() {
		return Stats{Read: time.Now().UTC()}, nil
	}
	s, err := readStats(value.Pid)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return Stats{Read: time.Now().UTC()}, nil // it has ended since
	}
	if err != nil {
		return s, fmt.Errorf("reading the statistics of container %s: %w", value.Spec.Name, err)
	}
	return s, nil
}

func readStats(pid int) (Stats, error) {
	s := Stats{Read: time.Now().UTC()}
	group, err := cgroup.Of(pid)
	if err != nil {
		return s, err
	}
	if s.Stats, err = group.Stats(); err != nil {
		return s, err
	}
	if s.System, s.CPUs, err = systemCPU(); err != nil {
		return s, err
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	s.Networks = parseNetDev(string(data))
	return s, err
}

// parseNetDev reads /proc/PID/net/dev; loopback is left out.
func parseNetDev(data string) map[string]NetworkStats {
	all := map[string]NetworkStats{}
	for line := range strings.Lines(data) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		name = strings.TrimSpace(name)
		if !ok || len(fields) < 16 || name == "lo" {
			continue
		}
		n := make([]uint64, len(fields))
		for i, f := range fields {
			n[i], _ = strconv.ParseUint(f, 10, 64)
		}
		all[name] = NetworkStats{
			RxBytes: n[0], RxPackets: n[1], RxErrors: n[2], RxDropped: n[3],
			TxBytes: n[8], TxPackets: n[9], TxErrors: n[10], TxDropped: n[11],
		}
	}
	return all
}

// systemCPU reads /proc/stat: all CPU time, and how many CPUs there are.
func systemCPU() (total uint64, cpus int, err error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("reading the host's CPU time: %w", err)
	}
	const tick = 1e7 // nanoseconds of a USER_HZ
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		if fields[0] != "cpu" {
			cpus++
			continue
		}
		for _, f := range fields[1:8] { // guest time is part of user time
			n, _ := strconv.ParseUint(f, 10, 64)
			total += n * tick
		}
	}
	return total, cpus, nil
}

// Process is one process of a container, as the host sees it.
type Process struct {
	PID, PPID int
	UID       uint32
	Started   time.Time
	CPU       time.Duration
	Command   string
}

// Top lists a container's processes.
func (e *Engine) Top(idOrName string) ([]Process, error) {
	c, err := e.find(idOrName)
	if err != nil {
		return nil, err
	}
	value := c.snapshot()
	if !value.running() {
		return nil, fmt.Errorf("container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
	}
	group, err := cgroup.Of(value.Pid)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", value.Spec.Name, err)
	}
	pids, err := group.Pids()
	if err != nil {
		return nil, fmt.Errorf("listing the processes of container %s: %w", value.Spec.Name, err)
	}
	boot, err := bootTime()
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, pid := range pids {
		if p, err := readProcess(pid, boot); err == nil { // else it ended meanwhile
			all = append(all, p)
		}
	}
	return all, nil
}

func bootTime() (time.Time, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, fmt.Errorf("reading when the host was started: %w", err)
	}
	_, rest, _ := strings.Cut(string(data), "\nbtime ")
	line, _, _ := strings.Cut(rest, "\n")
	seconds, err := strconv.ParseInt(line, 10, 64)
	return time.Unix(seconds, 0), err
}

// readProcess reads proc_pid_stat(5), the owner and the command line.
func readProcess(pid int, boot time.Time) (Process, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	data, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, err
	}
	open, end := strings.IndexByte(string(data), '('), strings.LastIndexByte(string(data), ')')
	fields := strings.Fields(string(data[end+1:]))
	if open < 0 || end < open || len(fields) < 20 {
		return Process{}, fmt.Errorf("%s/stat is not understood", dir)
	}
	field := func(number int) uint64 { // as the man page counts
		n, _ := strconv.ParseUint(fields[number-3], 10, 64)
		return n
	}
	const tick = 10 * time.Millisecond
	p := Process{
		PID: pid, PPID: int(field(4)), CPU: time.Duration(field(14)+field(15)) * tick,
		Started: boot.Add(time.Duration(field(22)) * tick), Command: string(data[open : end+1]),
	}
	if command, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(command) > 0 {
		p.Command = strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " "))
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return p, err
	}
	_, rest, _ := strings.Cut(string(status), "\nUid:")
	if uids := strings.Fields(rest); len(uids) > 0 {
		uid, _ := strconv.ParseUint(uids[0], 10, 32)
		p.UID = uint32(uid)
	}
	return p, nil
}

// Update changes the limits of a container, now and for its later starts.
func (e *Engine) Update(ctx context.Context, idOrName string, r pipeline.Resources) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	value := c.snapshot()
	if value.live() {
		limits := resources(r)
		limits.Devices = nil
		unlimit(limits, r)
		body, err := json.Marshal(enforceable(limits))
		if err != nil {
			return err
		}
		if _, err := e.oci(ctx, e.toolOf(c.id), body, "update", "--resources=-", c.id); err != nil {
			return fmt.Errorf("updating container %s: %w", value.Spec.Name, err)
		}
	}
	value = c.set(func(v *Container) { v.Spec.Resources = r })
	if err := writeDurably(filepath.Join(e.stateDir(c.id), specName), value.Spec); err != nil {
		return fmt.Errorf("updating container %s: %w", value.Spec.Name, err)
	}
	e.tell(value, "update")
	return nil
}
