package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runtimeRounds is how often each OCI runtime starts a container, for each run
// that was asked for: a start is short, and its time varies.
const runtimeRounds = 4

// measureRuntimes lets dray-oci, runc and crun run the same bundle, whose
// program ends at once: create, start, wait and delete, as "run" does. They
// take turns, so that what else the machine does falls on all alike. It
// happens inside a host: their control groups are its own.
func measureRuntimes(ctx context.Context, b *Bench) ([]Result, error) {
	if b.runtimes == nil {
		var err error
		if b.runtimes, err = b.compareRuntimes(ctx); err != nil {
			return nil, err
		}
	}
	return b.runtimes, nil
}

// runcRunMeasure is how the table calls what times are compared with.
const runcRunMeasure = "`runc run`, the same bundle"

// runcRun is the median of runc run in seconds; 0: it can't be had.
func (b *Bench) runcRun(ctx context.Context) float64 {
	results, _ := measureRuntimes(ctx, b) // the row itself says why not
	for _, r := range results {
		if r.Measure == runcRunMeasure && len(r.Values) > 0 {
			return median(slices.Sorted(slices.Values(r.Values)))
		}
	}
	return 0
}

func (b *Bench) compareRuntimes(ctx context.Context) ([]Result, error) {
	// A host's /var/lib is the folder lib of its disk.
	inHost, dir := "/var/lib/bench", filepath.Join(b.world.Lab.Host("m1").Dir(), "disk", "lib", "bench")
	if err := writeBundle(dir); err != nil {
		return nil, err
	}
	if err := copyProgram(filepath.Join(b.Bin, "dray-oci"), filepath.Join(dir, "dray-oci")); err != nil {
		return nil, err
	}
	programs := []ociProgram{{"dray-oci", inHost + "/dray-oci"}}
	var absent []Result
	for _, name := range []string{"runc", "crun"} {
		why := "not installed here"
		path, err := exec.LookPath(name)
		if err == nil {
			if _, err := b.runOnce(ctx, path, inHost); err == nil {
				programs = append(programs, ociProgram{name, path})
				continue
			} else {
				why = lastLine(err)
			}
		}
		absent = append(absent, Result{Measure: "`" + name + " run`, the same bundle", Skipped: why})
	}
	took := map[string][]float64{}
	for range b.Count * runtimeRounds {
		for _, p := range programs {
			seconds, err := b.runOnce(ctx, p.path, inHost)
			if err != nil {
				return nil, fmt.Errorf("%s run: %w", p.name, err)
			}
			took[p.name] = append(took[p.name], seconds)
		}
	}
	ours := Result{Measure: "`dray-oci run` of a program that ends at once", Today: "runc 0.047 s", Aim: "no slower than runc", Unit: Seconds, Values: took["dray-oci"]}
	if runc := took["runc"]; runc != nil {
		ours.Limit = median(slices.Sorted(slices.Values(runc)))
	}
	results := []Result{ours}
	for _, p := range programs[1:] {
		results = append(results, Result{Measure: "`" + p.name + " run`, the same bundle", Unit: Seconds, Values: took[p.name]})
	}
	return append(results, absent...), nil
}

// timing prints seconds around a command without starting another for it.
const timing = `a=$EPOCHREALTIME; "$@" >/dev/null 2>/tmp/bench.err || { cat /tmp/bench.err >&2; exit 1; }; b=$EPOCHREALTIME; echo "$a $b"`

func (b *Bench) runOnce(ctx context.Context, program, bundle string) (float64, error) {
	out, err := b.world.Lab.Host("m1").Exec(ctx, "bash", "-c", timing, "bash", program, "run", "--bundle", bundle, "bench")
	if err != nil {
		return 0, err
	}
	var began, ended float64
	if _, err := fmt.Sscan(out, &began, &ended); err != nil {
		return 0, fmt.Errorf("reading %q: %w", out, err)
	}
	return ended - began, nil
}

// ociProgram is an OCI runtime, and where it is in the host.
type ociProgram struct{ name, path string }

// lastLine is what a command said last.
func lastLine(err error) string {
	text := strings.TrimSpace(err.Error())
	text = text[strings.LastIndexByte(text, '\n')+1:]
	if _, said, ok := strings.Cut(text, "exit status 1: "); ok {
		return said
	}
	return text
}

func copyProgram(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// writeBundle makes a bundle as a container of dray's is isolated: all
// namespaces, Docker's capabilities, system calls and masked paths.
func writeBundle(dir string) error {
	rootfs := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(rootfs, d), 0o755); err != nil {
			return err
		}
	}
	if err := copyProgram("/bin/busybox", filepath.Join(rootfs, "bin", "true")); err != nil {
		return err
	}
	spec := bundleSpec()
	profile, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		return fmt.Errorf("making the system call filter: %w", err)
	}
	spec.Linux.Seccomp = profile
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

func bundleSpec() *specs.Spec {
	capabilities := strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_SETGID CAP_SETUID
		CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_KILL`)
	memory, pids := int64(64<<20), int64(64)
	namespaces := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.UTSNamespace},
		{Type: specs.IPCNamespace}, {Type: specs.NetworkNamespace},
	}
	return &specs.Spec{
		Version: "1.0.2", Hostname: "bench", Root: &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: []string{"/bin/true"}, Env: []string{"PATH=/bin"}, Cwd: "/", NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/bench/" + strconv.Itoa(os.Getpid()), Namespaces: namespaces,
			Resources:     &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids}},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}
