package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// Defaults of a service and a task: Nomad's figures, shorter where a host can be
// faster.
const (
	defaultPids             = 4096
	defaultInterval         = pipeline.Duration(time.Second)
	defaultTimeout          = pipeline.Duration(5 * time.Second)
	defaultRetries          = 3
	defaultHealthyChecked   = pipeline.Duration(500 * time.Millisecond) // with a check
	defaultHealthyUnchecked = pipeline.Duration(2 * time.Second)        // running is all that can be seen: look longer
	defaultHealthyDeadline  = pipeline.Duration(2 * time.Minute)
	defaultProgressDeadline = pipeline.Duration(10 * time.Minute)
	defaultDrain            = pipeline.Duration(30 * time.Second)
	defaultGrace            = pipeline.Duration(10 * time.Second)
	defaultRestartDelay     = pipeline.Duration(500 * time.Millisecond)
	defaultTaskTimeout      = pipeline.Duration(10 * time.Minute)
	defaultVerifyTimeout    = pipeline.Duration(2 * time.Minute)
	defaultConfirmWithin    = pipeline.Duration(time.Minute)
	defaultRetain           = 5
	maxCount                = 10000
)

func newResources() pipeline.Resources { return pipeline.Resources{Pids: defaultPids} }

func newUpdate() pipeline.Update {
	return pipeline.Update{
		Strategy: pipeline.StrategyRolling, MaxParallel: 1,
		MinHealthyTime: unset, HealthyDeadline: defaultHealthyDeadline, ProgressDeadline: defaultProgressDeadline,
		AutoRevert: true, Drain: defaultDrain,
	}
}

// image reads a reference to a target, or the name of an image.
func (b *block) image(dst *pipeline.Image) {
	attr := b.content.Attributes["image"]
	if attr == nil {
		return
	}
	v, ok := b.l.scope.eval(attr.Expr)
	if !ok || v.IsNull() || !v.IsWhollyKnown() {
		return
	}
	if v.Type().Equals(referenceTypes["target"]) {
		if target, ok := b.l.referenceValue(v, attr.Expr.Range(), "target"); ok {
			*dst = pipeline.Image{Target: target}
		}
		return
	}
	if v, ok = b.l.convert(attr.Expr, "image", cty.String); !ok {
		return
	}
	ref := v.AsString()
	targets := b.l.scope.names["target"]
	if quoted, ok := strings.CutPrefix(ref, "target."); ok {
		target, _, _ := strings.Cut(quoted, ":")
		if slices.Contains(targets, target) {
			b.l.fault(attr.Expr.Range(), "Reference in quotes", "Write image = target.%s, without quotes or a tag: what moves is the digest of what was built.", target)
			return
		}
	}
	if _, err := name.ParseReference(ref, name.WeakValidation); err != nil {
		b.l.fault(attr.Expr.Range(), "Invalid image", "%q is not an image's name. Write target.NAME, or a name such as \"postgres:17\".", ref)
		return
	}
	if slices.Contains(targets, ref) {
		b.l.warn(attr.Expr.Range(), "Image from a registry", "%q is pulled as docker.io/library/%s. What this project builds is image = target.%[1]s, without quotes.", ref, ref)
	}
	*dst = pipeline.Image{Ref: ref}
}

func (b *block) tmpfs(dst *[]string) {
	if !b.list("tmpfs", dst) {
		return
	}
	for _, text := range *dst {
		t, err := pipeline.ParseTmpfs(text)
		if b.notAbsolute("tmpfs", t.Path) {
			return
		}
		if err != nil {
			b.l.fault(b.rangeOf("tmpfs"), "Invalid tmpfs", "%s.", phrase.Capital(err.Error()))
			return
		}
	}
}

// linuxCapabilities are capabilities(7), without CAP_.
var linuxCapabilities = strings.Fields(`ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF
CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE
MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID
SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME
SYS_TTY_CONFIG WAKE_ALARM`)

func (b *block) capabilities(name string, dst *[]string) {
	var list []string
	if !b.list(name, &list) {
		return
	}
	for i, c := range list {
		list[i] = strings.TrimPrefix(strings.ToUpper(c), "CAP_")
		if !slices.Contains(linuxCapabilities, list[i]) {
			b.l.fault(b.rangeOf(name), fmt.Sprintf("Unknown capability %q", c), "Linux has none of that name.%s", phrase.DidYouMean(list[i], linuxCapabilities))
		}
	}
	*dst = list
}

func (l *loader) resources(source *hcl.Block, r *pipeline.Resources) {
	b := l.open(source, kindResources, "resources")
	if v, ok := b.value("cpu", cty.Number); ok {
		if cpu, _ := v.AsBigFloat().Float64(); cpu == 0 || cpu >= 0.01 && cpu <= 1024 {
			r.CPU = cpu
		} else {
			l.fault(b.rangeOf("cpu"), "Number out of range", "cpu is a number of cores from 0.01 to 1024, or 0 for no limit.")
		}
	}
	var memory pipeline.Bytes
	if b.amount("memory", &memory) {
		if memory != 0 && memory < 4<<20 {
			l.fault(b.rangeOf("memory"), "Too little memory", "A container needs at least 4MiB; this is %s.", memory)
		} else {
			r.Memory = memory
		}
	}
	pids := int(r.Pids)
	b.integer("pids", &pids, 1, 4194304) // pid_max of a 64-bit kernel: proc_sys_kernel(5)
	r.Pids = int64(pids)
}

func (l *loader) healthCheck(source *hcl.Block, d *serviceDeclaration) {
	b := l.open(source, kindCheck, "check")
	enabled := b.enabled(d.declaration)
	if d.value.Check == nil || d.value.Check.Type == pipeline.CheckNone {
		d.value.Check = &pipeline.Check{Interval: defaultInterval, Timeout: defaultTimeout, Retries: defaultRetries}
		if enabled {
			b.require("type")
		}
	}
	c := d.value.Check
	c.At = l.posOf(source.DefRange)
	b.note(d.declaration, "check.", kindCheck.args...)
	b.oneOf("type", &c.Type, pipeline.CheckHTTP, pipeline.CheckTCP, pipeline.CheckExec, pipeline.CheckNone)
	b.filled("port", &c.Port)
	if b.filled("path", &c.Path) && !strings.HasPrefix(c.Path, "/") {
		b.notAbsolute("path", c.Path)
	}
	b.command("command", &c.Command)
	b.duration("interval", &c.Interval, 10*time.Millisecond)
	b.duration("timeout", &c.Timeout, 10*time.Millisecond)
	b.duration("start_period", &c.StartPeriod, 0)
	b.integer("retries", &c.Retries, 1, 1000)
	b.duration("restart_after", &c.RestartAfter, time.Second)
	if c.Type == pipeline.CheckNone {
		d.value.Check = b.noCheck(c.At)
	}
}

// noCheck is check { type = "none" }. It has no parts: two files that say none say
// the same.
func (b *block) noCheck(at pipeline.Pos) *pipeline.Check {
	for _, name := range b.kind.args {
		if name != "type" && name != "enabled" && b.has(name) {
			b.l.fault(b.rangeOf(name), "Argument of no check", `type = "none" stands alone: the service has no check then, whatever its image says.`)
		}
	}
	return &pipeline.Check{Type: pipeline.CheckNone, At: at}
}

var strategies = []string{
	pipeline.StrategyRolling, pipeline.StrategyCanary, pipeline.StrategyBlueGreen,
	pipeline.StrategyAllAtOnce, pipeline.StrategyRecreate,
}

func (l *loader) update(source *hcl.Block, u *pipeline.Update) {
	b := l.open(source, kindUpdate, "update")
	u.At = l.posOf(source.DefRange)
	if b.integer("canary", &u.Canary, 0, maxCount) && u.Canary > 0 && !b.has("strategy") && u.Strategy == pipeline.StrategyRolling {
		u.Strategy = pipeline.StrategyCanary
	}
	b.oneOf("strategy", &u.Strategy, strategies...)
	b.maxParallel(u)
	b.boolean("auto_promote", &u.AutoPromote)
	b.duration("min_healthy_time", &u.MinHealthyTime, 0)
	b.duration("healthy_deadline", &u.HealthyDeadline, time.Second)
	b.duration("progress_deadline", &u.ProgressDeadline, time.Second)
	b.boolean("auto_revert", &u.AutoRevert)
	b.duration("drain", &u.Drain, 0)
	b.position("auto_revert", &u.RevertAt)
	b.position("progress_deadline", &u.ProgressAt)
	if u.MinHealthyTime >= u.HealthyDeadline {
		b.tooShort("healthy_deadline", u.HealthyDeadline, "min_healthy_time", u.MinHealthyTime, "longer than")
	}
	if u.HealthyDeadline > u.ProgressDeadline {
		b.tooShort("progress_deadline", u.ProgressDeadline, "healthy_deadline", u.HealthyDeadline, "at least")
	}
}

// tooShort is the fault of a deadline that leaves no room for the time which it
// bounds. It stands at the one of the two that this block sets, at the deadline
// where it sets both.
func (b *block) tooShort(deadline string, limit pipeline.Duration, name string, d pipeline.Duration, must string) {
	at, summary := deadline, "Deadline too short"
	if b.has(name) && !b.has(deadline) {
		at, summary = name, "Time too long"
	}
	b.l.fault(b.rangeOf(at), summary, "%s (%s) must be %s %s (%s).", deadline, b.lengthOf(deadline, limit), must, name, b.lengthOf(name, d))
}

// lengthOf is a time with the line that sets it.
func (b *block) lengthOf(name string, d pipeline.Duration) string {
	if b.has(name) {
		return fmt.Sprintf("%s, line %d", d, b.rangeOf(name).Start.Line)
	}
	return d.String() + ", not set here"
}

// maxParallel reads a number of instances, or a percentage of the count.
func (b *block) maxParallel(u *pipeline.Update) {
	var s string
	if !b.text("max_parallel", &s) {
		return
	}
	if percent, ok := strings.CutSuffix(strings.TrimSpace(s), "%"); ok {
		if n, err := strconv.Atoi(percent); err == nil && n >= 1 && n <= 100 {
			u.MaxParallel, u.MaxParallelPct = 1, n
			return
		}
	} else if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= maxCount {
		u.MaxParallel, u.MaxParallelPct = n, 0
		return
	}
	b.l.fault(b.rangeOf("max_parallel"), "Number out of range", `max_parallel is a number of instances from 1, or a percentage such as "50%%".`)
}

func (l *loader) restart(source *hcl.Block, r *pipeline.Restart) {
	b := l.open(source, kindRestart, "restart")
	b.oneOf("policy", &r.Policy, pipeline.RestartAlways, pipeline.RestartOnFailure, pipeline.RestartNever)
	b.integer("attempts", &r.Attempts, 0, 1000000)
	b.duration("delay", &r.Delay, 0)
}

// signals are those that ask a program to end or do something else; signal(7).
var signals = strings.Fields("SIGTERM SIGINT SIGQUIT SIGHUP SIGUSR1 SIGUSR2 SIGWINCH SIGKILL SIGABRT SIGALRM SIGCONT SIGPWR SIGIO")

func (l *loader) stop(source *hcl.Block, s *pipeline.Stop) {
	b := l.open(source, kindStop, "stop")
	b.duration("grace", &s.Grace, 0)
	var signal string
	if !b.filled("signal", &signal) {
		return
	}
	signal = strings.ToUpper(signal)
	if n, err := strconv.Atoi(signal); err == nil && n >= 1 && n <= 64 {
		s.Signal = signal
		return
	}
	if !strings.HasPrefix(signal, "SIG") {
		signal = "SIG" + signal
	}
	if !slices.Contains(signals, signal) && !realTimeSignal(signal) {
		l.fault(b.rangeOf("signal"), fmt.Sprintf("Unknown signal %q", signal), "Write a name such as SIGTERM or SIGQUIT, or a number.%s", phrase.DidYouMean(signal, signals))
		return
	}
	s.Signal = signal
}

// realTimeSignals is how far the names SIGRTMIN+N and SIGRTMAX-N go: as far as
// a shell's do, so that each signal has one name.
var realTimeSignals = map[string]int{"SIGRTMIN+": 15, "SIGRTMAX-": 14}

// realTimeSignal reports whether s is SIGRTMIN+N or SIGRTMAX-N.
func realTimeSignal(s string) bool {
	for prefix, most := range realTimeSignals {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			n, err := strconv.Atoi(rest)
			return err == nil && n >= 1 && n <= most && rest == strconv.Itoa(n)
		}
	}
	return s == "SIGRTMIN" || s == "SIGRTMAX"
}
