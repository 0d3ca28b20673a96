//go:build linux && cgo

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseFlags(t *testing.T) {
	known := []flag{{name: "bundle", short: "b", value: true}, {name: "keep"}, {name: "env", short: "e", value: true}}
	for _, test := range []struct {
		args     string
		early    bool
		operands string
		bundle   string
		keep     bool
	}{
		{"--bundle /b --keep id", false, "id", "/b", true},
		{"id -b=/b -keep", false, "id", "/b", true},
		{"--keep=false id", false, "id", "", false},
		{"--keep id sh --bundle x", true, "id sh --bundle x", "", true},
		{"-- --keep", false, "--keep", "", false},
		{"id -", false, "id -", "", false},
	} {
		got, operands, err := parse(known, strings.Fields(test.args), test.early)
		if err != nil || strings.Join(operands, " ") != test.operands || got.text("bundle") != test.bundle || got.has("keep") != test.keep {
			t.Errorf("%q gave %v, %q, %v", test.args, got, operands, err)
		}
	}
	for _, args := range []string{"--nothing", "id --bundle"} {
		if _, _, err := parse(known, strings.Fields(args), false); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	got, _, err := parse(known, []string{"-e", "A=1", "-e=B=2"}, false)
	if err != nil || !slices.Equal(got.all("env"), []string{"A=1", "B=2"}) {
		t.Errorf("a repeated flag gave %v, %v", got, err)
	}
}

// binary is the runtime that TestMain builds: what is tested is what ships.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "dray-oci-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "dray-oci")
	build := exec.Command("go", "build", "-trimpath", "-tags", "seccomp netgo osusergo",
		"-ldflags", "-s -w -linkmode external -extldflags -static", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building dray-oci: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// testGroup is the cgroup in which the tests' containers have theirs.
func testGroup() string { return fmt.Sprintf("/dray-oci-test-%d", os.Getpid()) }

// bundle makes a bundle around busybox that runs a script.
func bundle(t *testing.T, script string) (*runc.Runc, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root")
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	dir := t.TempDir()
	rootfs := filepath.Join(dir, "rootfs")
	for _, sub := range []string{"bin", "proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(rootfs, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(rootfs, "bin/busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range []string{"sh", "sleep", "cat", "echo", "true"} {
		if err := os.Symlink("busybox", filepath.Join(rootfs, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	parent := testGroup()
	t.Cleanup(func() {
		groups, _ := filepath.Glob("/sys/fs/cgroup/*" + parent)
		for _, g := range groups {
			if err := os.Remove(g); err != nil {
				t.Error(err)
			}
		}
	})
	all := []string{"CAP_KILL", "CAP_SYS_RESOURCE", "CAP_CHOWN", "CAP_SYS_BOOT", "CAP_BPF"} // not all can be had everywhere
	spec := specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: []string{"/bin/sh", "-c", script}, Cwd: "/", Env: []string{"PATH=/bin"}, NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 20, Hard: 1 << 20}},
		},
		Mounts: []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{
			CgroupsPath: parent + "/c",
			Namespaces:  []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace}},
		},
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return &runc.Runc{Command: binary, Root: filepath.Join(dir, "state"), Log: filepath.Join(dir, "log"), LogFormat: runc.JSON}, dir
}

// output is an IO whose output is a pipe, as BuildKit's executor gives.
type output struct {
	runc.IO
	text bytes.Buffer
	done chan struct{}
}

func newOutput(t *testing.T) *output {
	t.Helper()
	io_, err := runc.NewPipeIO(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := &output{IO: io_, done: make(chan struct{})}
	_ = io_.Stdin().Close()
	go func() {
		defer close(o.done)
		_, _ = io.Copy(&o.text, io_.Stdout())
	}()
	return o
}

func (o *output) CloseAfterStart() error { return o.IO.(runc.StartCloser).CloseAfterStart() }

func (o *output) String() string {
	_ = o.CloseAfterStart()
	<-o.done
	return o.text.String()
}

func TestRunUnderGoRunc(t *testing.T) {
	r, dir := bundle(t, "echo hello; cat; exit 3")
	out := newOutput(t)
	code, err := r.Run(t.Context(), "one", dir, &runc.CreateOpts{IO: out, NoPivot: false})
	if code != 3 || err == nil || out.String() != "hello\n" {
		t.Errorf("code %d, %v, %q", code, err, out.String())
	}
	if _, err := r.State(t.Context(), "one"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("it remains: %v", err)
	}
}

func TestLifeUnderGoRunc(t *testing.T) {
	r, dir := bundle(t, "sleep 60")
	ctx := t.Context()
	pidFile := filepath.Join(dir, "pid")
	if err := r.Create(ctx, "life", dir, &runc.CreateOpts{IO: newOutput(t), PidFile: pidFile}); err != nil {
		t.Fatal(err)
	}
	defer r.Delete(context.WithoutCancel(ctx), "life", &runc.DeleteOpts{Force: true})
	expect := func(status string) {
		t.Helper()
		s, err := r.State(ctx, "life")
		if err != nil || s.Status != status || s.ID != "life" || s.Bundle != dir {
			t.Errorf("%+v, %v; want %s", s, err, status)
		}
	}
	expect("created")
	if err := r.Start(ctx, "life"); err != nil {
		t.Fatal(err)
	}
	expect("running")
	if err := r.Start(ctx, "life"); err == nil {
		t.Error("it was started twice")
	}
	p := specs.Process{Args: []string{"sh", "-c", "echo in; exit 5"}, Cwd: "/", Env: []string{"PATH=/bin"}}
	out := newOutput(t)
	if err := r.Exec(ctx, "life", p, &runc.ExecOpts{IO: out, PidFile: filepath.Join(dir, "exec")}); err == nil || !strings.Contains(err.Error(), "exit status 5") {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Errorf("exec: %v\n%s", err, log)
	}
	if out.String() != "in\n" {
		t.Errorf("exec printed %q", out.String())
	}
	if pids, err := r.Ps(ctx, "life"); err != nil || len(pids) == 0 {
		t.Errorf("ps: %v, %v", pids, err)
	}
	limit := int64(77)
	if err := r.Update(ctx, "life", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}); err != nil {
		t.Error(err)
	}
	if stats, err := r.Stats(ctx, "life"); err != nil || stats.Pids.Limit != 77 || stats.Memory.Usage.Usage == 0 {
		t.Errorf("stats: %+v, %v", stats, err)
	}
	if top, err := r.Top(ctx, "life", "-ef"); err != nil || len(top.Processes) == 0 {
		t.Errorf("top: %+v, %v", top, err)
	}
	if err := r.Pause(ctx, "life"); err != nil {
		t.Error(err)
	}
	expect("paused")
	if err := r.Resume(ctx, "life"); err != nil {
		t.Error(err)
	}
	if all, err := r.List(ctx); err != nil || len(all) != 1 || all[0].Status != "running" {
		t.Errorf("list: %+v, %v", all, err)
	}
	if err := r.Delete(ctx, "life", nil); err == nil {
		t.Error("a running container was deleted without force")
	}
	if err := r.Kill(ctx, "life", 9, nil); err != nil {
		t.Error(err)
	}
	if err := r.Delete(ctx, "life", &runc.DeleteOpts{Force: true}); err != nil {
		t.Error(err)
	}
	if err := r.Kill(ctx, "life", 9, nil); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("killing what is gone: %v", err)
	}
	if err := r.Delete(ctx, "life", &runc.DeleteOpts{Force: true}); err != nil {
		t.Errorf("deleting what is gone, by force: %v", err)
	}
}

func TestErrorsReachTheLog(t *testing.T) {
	r, dir := bundle(t, "true")
	var spec specs.Spec
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &spec) != nil {
		t.Fatal(err)
	}
	spec.Process.Args = []string{"nothing-here"}
	if data, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), "bad", dir, &runc.CreateOpts{IO: newOutput(t)}); err == nil {
		t.Fatal("a missing program was run")
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	var last struct{ Level, Msg string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Level != "error" || !strings.Contains(last.Msg, "nothing-here") {
		t.Errorf("the log ends with %q (%v)", lines[len(lines)-1], err)
	}
	if entries, err := os.ReadDir(r.Root); err != nil || len(entries) != 0 {
		t.Errorf("something remains: %v, %v", entries, err)
	}
}

func TestVersionAndFeatures(t *testing.T) {
	r := &runc.Runc{Command: binary}
	v, err := r.Version(t.Context())
	if err != nil || v.Runc != libVersion || v.Spec != specs.Version {
		t.Errorf("%+v, %v", v, err)
	}
	f, err := r.Features(t.Context())
	if err != nil || f.Linux == nil || f.Linux.Seccomp == nil || !*f.Linux.Seccomp.Enabled || !slices.Contains(f.Linux.Namespaces, "pid") {
		t.Fatalf("%+v, %v", f, err)
	}
	// Callers leave out what a runtime does not claim.
	if l := f.Linux; l.MemoryPolicy == nil || l.NetDevices == nil || l.IntelRdt == nil || l.Cgroup.Rdma == nil || l.Cgroup.SystemdUser == nil {
		t.Errorf("it can more than it says: %+v", l)
	}
	if f.Annotations["org.opencontainers.runc.checkpoint.enabled"] != "false" {
		t.Errorf("it says that it makes checkpoints: %v", f.Annotations)
	}
}

// The binary is booted twice for each start of a container.
func TestLinksLittle(t *testing.T) {
	info, err := os.Stat(binary)
	if err != nil || info.Size() > 8<<20 {
		t.Errorf("it has %d bytes, want at most 8 MiB (%v)", info.Size(), err)
	}
	list := exec.Command("go", "list", "-deps", "-tags", "seccomp netgo osusergo", ".")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"net/http", "github.com/spf13", "github.com/urfave", "github.com/moby/buildkit", "github.com/containerd/containerd", "github.com/hashicorp"} {
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, bad) {
				t.Errorf("it links %s", strings.TrimSpace(line))
			}
		}
	}
}
