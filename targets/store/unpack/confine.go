package unpack

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that unpacking needs, each for what a layer may
// hold: owners, files in folders of others, modes and times of their files,
// set-group-id bits, device nodes, file capabilities.
var kept = []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_MKNOD, unix.CAP_SETFCAP}

// confine gives up all that unpacking into dir does not need; dir is the root
// directory afterwards. memory is what the process may add to its own.
func confine(dir string, memory int64) error {
	// The host may run out of memory beside us: rather this process than a
	// container.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return err
	}
	if err := limitMemory(memory); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("limiting core files: %w", err)
	}
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("entering %s: %w", dir, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("making %s the root directory: %w", dir, err)
	}
	if err := onAllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("refusing new privileges: %w", err)
	}
	if err := landlock(); err != nil {
		return fmt.Errorf("setting up landlock: %w", err)
	}
	return dropCapabilities()
}

// limitMemory bounds the process's data. A Go program has address space that it
// does not use, so the limit is on what may be written to (RLIMIT_DATA), and in
// addition to what there is.
func limitMemory(more int64) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "VmData:" {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return fmt.Errorf("reading the size of this process: %w", err)
		}
		limit := kib<<10 + uint64(more)
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("limiting memory: %w", err)
		}
		return nil
	}
	return errors.New("reading the size of this process: the kernel does not say it")
}

// dropCapabilities leaves those of kept.
func dropCapabilities() error {
	var keep uint64
	for _, c := range kept {
		keep |= 1 << c
	}
	for c := 0; ; c++ {
		if c < 64 && keep&(1<<c) != 0 {
			continue
		}
		err := onAllThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0)
		if errors.Is(err, unix.EINVAL) {
			break // past the last one that the kernel knows
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: uint32(keep), Permitted: uint32(keep)},
		{Effective: uint32(keep >> 32), Permitted: uint32(keep >> 32)},
	}
	var pin runtime.Pinner // they stay where they are while each thread is asked
	defer pin.Unpin()
	pin.Pin(&header)
	pin.Pin(&data)
	err := onAllThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	return nil
}
