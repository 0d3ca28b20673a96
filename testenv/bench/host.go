package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"dray/deploy/bundle"
	"dray/testenv"
)

// crowd is how many containers the memory of one is measured with.
const crowd = 9

// measureMemory looks at a host whose agent has just come there, at one whose
// agent has pulled and deployed, and, for what a container costs, at agents
// that were restarted beside few and many: what they use of their heap differs
// by chance more than by containers.
func measureMemory(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.wipe(ctx, "crowd"); err != nil {
		return nil, err
	}
	if _, err := b.dray(ctx, "host", "setup", "m1"); err != nil {
		return nil, err
	}
	h := b.world.Lab.Host("m1")
	fresh, err := ours(ctx, h)
	if err != nil {
		return nil, err
	}
	if _, err := b.dray(ctx, "deploy", "crowd", "--var", "count=1"); err != nil {
		return nil, err
	}
	used, err := ours(ctx, h)
	if err != nil {
		return nil, err
	}
	one, err := oursRestarted(ctx, h)
	if err != nil {
		return nil, err
	}
	if _, err := b.dray(ctx, "deploy", "crowd", "--var", fmt.Sprintf("count=%d", crowd)); err != nil {
		return nil, err
	}
	many, err := oursRestarted(ctx, h)
	if err != nil {
		return nil, err
	}
	if _, err := b.dray(ctx, "down", "--yes", "crowd"); err != nil {
		return nil, err
	}
	each := (many.sum() - one.sum()) / (crowd - 1)
	return []Result{
		{Measure: "drayd idle, PSS", Today: "54 MB", Aim: "20 MB", Limit: 20e6, Unit: Bytes, Values: []float64{fresh.sum()}, Note: fresh.String()},
		{Measure: "drayd after a cold pull and a deployment, PSS", Today: "77–108 MB", Unit: Bytes, Values: []float64{used["drayd"]}},
		{Measure: "each container more, PSS", Today: "11–20 MB", Aim: "6 MB", Limit: 6e6, Unit: Bytes, Values: []float64{each},
			Note: fmt.Sprintf("with 1: %s; with %d: %s", one, crowd, many)},
	}, nil
}

// oursRestarted is ours after the agent was restarted, which no container
// notices.
func oursRestarted(ctx context.Context, h *testenv.Host) (usage, error) {
	if _, err := h.Exec(ctx, "/var/lib/dray/bin/current/drayd", "service", "restart"); err != nil {
		return nil, err
	}
	return ours(ctx, h)
}

// usage is proportional set sizes by program, in bytes.
type usage map[string]float64

func (u usage) sum() (sum float64) {
	for _, v := range u {
		sum += v
	}
	return sum
}

func (u usage) String() string {
	var parts []string
	for program, size := range u {
		parts = append(parts, program+" "+Bytes.text(size))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// settle is how long a host is left alone before its memory is looked at: the
// runtime of Go gives memory back bit by bit.
const settle = 5 * time.Second

// rested waits until a host has come to rest.
func rested(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(settle):
		return nil
	}
}

// ours is what dray's programs on a host use once it has come to rest.
func ours(ctx context.Context, h *testenv.Host) (usage, error) {
	if err := rested(ctx); err != nil {
		return nil, err
	}
	return programs(h, drays...)
}

// drays are the programs of dray's that run on a host.
var drays = []string{"drayd", "dray-oci"}

// programs is what the programs of those names on a host use now.
func programs(h *testenv.Host, names ...string) (usage, error) {
	processes, err := h.Processes()
	if err != nil {
		return nil, err
	}
	u := usage{}
	for _, p := range processes {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
		program := filepath.Base(exe)
		if err != nil || !slices.Contains(names, program) {
			continue // the app, sshd, init; or gone
		}
		size, err := proportional(p.PID)
		if err != nil {
			return nil, err
		}
		u[program] += size
	}
	return u, nil
}

// proportional is a process's PSS in bytes.
func proportional(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d: smaps_rollup names no Pss", pid)
}

// measureDisk deploys one-line changes to a host that keeps all of them.
func measureDisk(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.wipe(ctx, "clean"); err != nil {
		return nil, err
	}
	if err := b.ready(ctx, "clean"); err != nil {
		return nil, err
	}
	h := b.world.Lab.Host("c1")
	before, err := diskUsage(ctx, h)
	if err != nil {
		return nil, err
	}
	whole := before
	var values []float64
	for range 3 { // with the first, fewer than a host keeps
		if _, _, err := b.change(ctx, "clean"); err != nil {
			return nil, err
		}
		after, err := diskUsage(ctx, h)
		if err != nil {
			return nil, err
		}
		values, before = append(values, after-before), after
	}
	return []Result{{
		Measure: "disk on the host for each release", Today: "Docker 12.7 MiB (13.3 MB)", Aim: "13.3 MB", Limit: 13.4e6, Unit: Bytes, Values: values,
		Note: fmt.Sprintf("of a program of %s (Docker's figure: 8.4 MB), kept both as it travelled and unpacked; the first, with dray itself: %s",
			Bytes.text(float64(len(b.app.program))), Bytes.text(whole)),
	}}, nil
}

// diskUsage is what dray keeps on a host's disk, without what is mounted there.
func diskUsage(ctx context.Context, h *testenv.Host) (float64, error) {
	out, err := h.Exec(ctx, "du", "-sx", "--block-size=1", "/var/lib/dray")
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.Fields(out)[0], 64)
}

// measureBundle compresses the two programs as a release of dray does.
func measureBundle(_ context.Context, b *Bench) (_ []Result, err error) {
	f, err := os.CreateTemp(b.dir, "bundle-")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	record, err := bundle.Make(f, runtime.GOARCH, b.Bin, 9)
	if err != nil {
		return nil, err
	}
	var whole float64
	for _, program := range bundle.Programs {
		info, err := os.Stat(filepath.Join(b.Bin, program))
		if err != nil {
			return nil, err
		}
		whole += float64(info.Size())
	}
	return []Result{{
		Measure: "the two host binaries, compressed", Aim: "12 MB", Limit: 12e6, Unit: Bytes, Values: []float64{float64(record.Size)},
		Note: Bytes.text(whole) + " unpacked",
	}}, nil
}
