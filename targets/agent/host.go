package agent

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dray/targets/api"
	"dray/targets/runtime/cgroup"
	"dray/targets/runtime/confine"
)

// Host says what this host is. A fact that can't be read is left out.
func (a *Agent) Host() api.Host {
	h := api.Host{
		ID: a.id, Version: api.BuildVersion, Bundle: a.bundle, API: api.Version,
		OS: prettyName(), Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		PublicKey: a.key.Public().(ed25519.PublicKey),
		Started:   a.started.Round(0), Now: time.Now().Round(0),
	}
	if a.startsAtBoot != nil {
		h.StartsAtBoot = a.startsAtBoot()
	}
	h.Hostname, _ = os.Hostname()
	h.Kernel = kernelRelease()
	h.CgroupVersion, h.Limits = cgroup.Controllers()
	h.Confinement = confinement()
	h.MemoryTotal, h.MemoryFree = memory()
	h.DiskTotal, h.DiskFree = disk(a.state)
	return h
}

// hostAndReach says also what other hosts reach here, which takes longer to
// find.
func (a *Agent) hostAndReach() api.Host {
	h := a.Host()
	if a.reach != nil {
		h.Firewall, h.Open = a.reach()
	}
	return h
}

// confinement says what containers are confined with here.
func confinement() api.Confinement {
	facts := confine.Probe()
	c := api.Confinement{AppArmor: facts.AppArmor, SELinux: facts.SELinux, Seccomp: facts.Seccomp, Userns: facts.Userns}
	if err := confine.Policy(); err != nil {
		c.Policy = err.Error()
	}
	return c
}

// prettyName returns PRETTY_NAME of os-release(5).
func prettyName() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		text, _ = os.ReadFile("/usr/lib/os-release")
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// memory returns MemTotal and MemAvailable of proc_meminfo(5), in bytes.
func memory() (total, free int64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			free = kib << 10
		}
	}
	return total, free
}

// disk returns the size of a folder's file system and what root can still
// write, in bytes.
func disk(dir string) (total, free int64) {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0, 0
	}
	return int64(fs.Blocks) * fs.Bsize, int64(fs.Bavail) * fs.Bsize
}
