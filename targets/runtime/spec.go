package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/profiles/seccomp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dray/pipeline"
)

// DefaultShmSize is that of /dev/shm where nothing else is asked for: Docker's.
const DefaultShmSize pipeline.Bytes = 64 << 20

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A blueprint is everything that an OCI specification is made from.
type blueprint struct {
	id       string
	spec     Spec
	image    dockerspec.DockerOCIImage
	endpoint Endpoint
	rootfs   string
	cgroup   string   // cgroupsPath
	secrets  []string // "K=V" of the environment
	binds    []Mount  // files of the container's own: hosts, secrets
	user     specs.User
	confined confinement
	version  string // of the specification, as the OCI runtime understands it
}

// ociSpec is the OCI runtime specification of a container. Its isolation is
// Docker's default: own namespaces, Docker's capabilities and system calls,
// masked and read-only parts of /proc and /sys, no new privileges.
func (b blueprint) ociSpec() (*specs.Spec, error) {
	args, err := commandOf(b.spec, b.image.Config.ImageConfig)
	if err != nil {
		return nil, err
	}
	if b.spec.Init {
		args = append([]string{initPath}, args...)
	}
	capabilities, err := capabilitiesOf(b.spec.CapAdd, b.spec.CapDrop)
	if err != nil {
		return nil, err
	}
	mounts, err := b.mounts()
	if err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version:  b.version,
		Hostname: hostnameOf(b.id, b.spec),
		Root:     &specs.Root{Path: b.rootfs, Readonly: b.spec.ReadOnly},
		Process: &specs.Process{
			Terminal: b.spec.TTY,
			User:     b.user,
			Args:     args,
			Env:      b.environment(),
			Cwd:      firstOf(b.spec.WorkDir, b.image.Config.WorkingDir, "/"),
			Capabilities: &specs.LinuxCapabilities{
				Bounding: capabilities, Effective: capabilities, Permitted: capabilities,
			},
			NoNewPrivileges: !b.spec.Security.NewPrivileges,
			ApparmorProfile: b.confined.apparmor,
			SelinuxLabel:    b.confined.labels.Process,
			OOMScoreAdj:     oomScore(),
			Rlimits:         []specs.POSIXRlimit{openFiles()},
		},
		Mounts: mounts,
		Linux: &specs.Linux{
			CgroupsPath:   b.cgroup,
			MountLabel:    b.confined.labels.Mount,
			Namespaces:    namespaces(b.endpoint.NetnsPath),
			Resources:     enforceable(resources(b.spec.Resources)),
			MaskedPaths:   maskedPaths(),
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			// Everyone may bind any port and ping: these are the container's own.
			Sysctl: map[string]string{
				"net.ipv4.ip_unprivileged_port_start": "0",
				"net.ipv4.ping_group_range":           "0 2147483647",
			},
		},
	}
	s.Linux.Seccomp, err = b.systemCalls(s)
	return s, err
}

// commandOf is what runs, by Docker's rules: an entrypoint of the Spec's own
// drops the image's command, too.
func commandOf(spec Spec, image ocispec.ImageConfig) ([]string, error) {
	entrypoint, command := spec.Entrypoint, spec.Command
	if entrypoint == nil {
		entrypoint = image.Entrypoint
		if command == nil {
			command = image.Cmd
		}
	}
	args := slices.Concat(entrypoint, command)
	if len(args) == 0 {
		return nil, errors.New("no command: the image has none, and none is given")
	}
	return args, nil
}

func hostnameOf(id string, spec Spec) string { return firstOf(spec.Hostname, id[:12]) }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// environment merges, later ones winning: dray's defaults, the image's, the
// Spec's, secrets.
func (b blueprint) environment() []string {
	defaults := []string{defaultPath, "HOSTNAME=" + hostnameOf(b.id, b.spec)}
	if b.spec.TTY {
		defaults = append(defaults, "TERM=xterm")
	}
	return mergeEnv(defaults, b.image.Config.Env, b.spec.Env, b.secrets)
}

// mergeEnv keeps each variable where it came first, with its last value. A
// name without "=" removes the variable.
func mergeEnv(lists ...[]string) []string {
	var merged []string
	for _, pair := range slices.Concat(lists...) {
		name, _, set := strings.Cut(pair, "=")
		at := slices.IndexFunc(merged, func(m string) bool { return strings.HasPrefix(m, name+"=") })
		switch {
		case name == "":
		case !set && at >= 0:
			merged = slices.Delete(merged, at, at+1)
		case set && at >= 0:
			merged[at] = pair
		case set:
			merged = append(merged, pair)
		}
	}
	return merged
}

// defaultCapabilities is Docker's set; as a mask 00000000a80425fb.
func defaultCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
		"CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
		"CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

// capabilitiesOf applies additions and removals, with or without "CAP_".
func capabilitiesOf(add, drop []string) ([]string, error) {
	set := defaultCapabilities()
	for _, name := range drop {
		full := capabilityName(name)
		if full == "CAP_ALL" {
			set = nil
			continue
		}
		set = slices.DeleteFunc(set, func(c string) bool { return c == full })
	}
	for _, name := range add {
		full := capabilityName(name)
		if full == "CAP_ALL" {
			return nil, errors.New("capability ALL can't be added: name those that are needed")
		}
		if !slices.Contains(set, full) {
			set = append(set, full)
		}
	}
	return set, nil
}

func capabilityName(name string) string {
	return "CAP_" + strings.TrimPrefix(strings.ToUpper(name), "CAP_")
}

func namespaces(netns string) []specs.LinuxNamespace {
	return []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.UTSNamespace},
		{Type: specs.IPCNamespace}, {Type: specs.CgroupNamespace},
		{Type: specs.NetworkNamespace, Path: netns}, // "" is a new one with loopback only
	}
}

// oomScore keeps a container from inheriting the shim's protection. Without
// CAP_SYS_RESOURCE the value can't be lowered, so one that is higher stays.
func oomScore() *int {
	score := 0
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if own, parsed := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && parsed == nil {
		score = max(score, own)
	}
	return &score
}

// openFiles is the limit of open files. Without CAP_SYS_RESOURCE no limit can be
// raised, and most OCI runtimes fail over that.
func openFiles() specs.POSIXRlimit {
	limit := specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 524288}
	may, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_RESOURCE, 0, 0, 0)
	var own unix.Rlimit
	if err == nil && may == 0 && unix.Getrlimit(unix.RLIMIT_NOFILE, &own) == nil {
		limit.Hard = min(limit.Hard, own.Max)
	}
	return limit
}

// maskedPaths are those that Docker hides, as they tell of the host.
func maskedPaths() []string {
	paths := []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
		"/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	throttles, _ := filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle") // the pattern is sound
	return append(paths, throttles...)
}

// systemCalls is the filter that the Spec asks for; nil is none.
func (b blueprint) systemCalls(s *specs.Spec) (*specs.LinuxSeccomp, error) {
	switch profile := b.spec.Security.Seccomp; profile {
	case "", pipeline.ProfileDefault:
		return defaultSystemCalls(s, b.image.Architecture)
	case pipeline.ProfileUnconfined:
		return nil, nil
	default:
		filter, err := seccomp.LoadProfile(profile, s)
		if err != nil {
			return nil, fmt.Errorf("reading the service's seccomp profile: %w", err)
		}
		return filter, nil
	}
}

// defaultSystemCalls is Docker's profile, for one architecture: the filter is built
// at each start, and every further architecture costs as much again (6 ms).
// So 32-bit programs need an image that says it is 32-bit.
func defaultSystemCalls(s *specs.Spec, architecture string) (*specs.LinuxSeccomp, error) {
	profile, err := seccomp.GetDefaultProfile(s)
	if err != nil {
		return nil, fmt.Errorf("making the seccomp profile: %w", err)
	}
	native := map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}[runtime.GOARCH]
	wanted := []specs.Arch{native}
	switch architecture {
	case "386":
		wanted = append(wanted, specs.ArchX86)
	case "arm":
		wanted = append(wanted, specs.ArchARM)
	}
	profile.Architectures = slices.DeleteFunc(profile.Architectures, func(a specs.Arch) bool {
		return !slices.Contains(wanted, a)
	})
	return profile, nil
}

// mounts lists what is mounted over the root file system: the kernel's, the
// container's own. Later ones cover earlier ones.
func (b blueprint) mounts() ([]specs.Mount, error) {
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", sizeOption(cmp.Or(b.spec.ShmSize, DefaultShmSize))}},
	}
	own, err := b.ownMounts()
	return append(mounts, own...), err
}

// ownMounts lists what the container has for itself, parents first: whatever
// lies deeper is mounted over what lies above it, so that no volume hides a
// secret or a file in /etc. What has the same place as a file of the
// container's own comes after it.
func (b blueprint) ownMounts() ([]specs.Mount, error) {
	var mounts []specs.Mount
	for _, text := range b.spec.Tmpfs {
		t, err := pipeline.ParseTmpfs(text)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, specs.Mount{Destination: t.Path, Type: "tmpfs", Source: "tmpfs", Options: tmpfsOptions(t)})
	}
	for _, m := range slices.Concat(b.binds, b.spec.Mounts) {
		options := []string{"rbind", "rprivate", "rw"}
		if m.ReadOnly {
			options[2] = "ro"
		}
		mounts = append(mounts, specs.Mount{
			Destination: m.Destination, Type: "bind", Source: m.Source, Options: options,
		})
	}
	depth := func(m specs.Mount) int {
		return strings.Count(strings.TrimSuffix(filepath.Clean(m.Destination), "/"), "/")
	}
	slices.SortStableFunc(mounts, func(x, y specs.Mount) int { return depth(x) - depth(y) })
	return mounts, nil
}

// tmpfsOptions are those of tmpfs(5).
func tmpfsOptions(t pipeline.Tmpfs) []string {
	options := []string{"nosuid", "nodev", "noexec", "mode=" + cmp.Or(t.Mode, "1777")}
	if t.Exec {
		options[2] = "exec"
	}
	if t.Size > 0 {
		options = append(options, sizeOption(t.Size))
	}
	return options
}

func sizeOption(size pipeline.Bytes) string { return fmt.Sprintf("size=%d", int64(size)) }
