package runtime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dray/pipeline"
	"dray/targets/runtime"
	"dray/targets/runtime/confine"
)

// TestNewPrivilegesAndSeccomp reads what the kernel says of a container's
// process: proc_pid_status(5).
func TestNewPrivilegesAndSeccomp(t *testing.T) {
	h := newHost(t)
	const noFork = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}`
	for name, tt := range map[string]struct {
		security pipeline.Security
		want     []string
	}{
		"default":    {pipeline.Security{}, []string{"NoNewPrivs:\t1", "Seccomp:\t2", "made"}},
		"privileges": {pipeline.Security{NewPrivileges: true}, []string{"NoNewPrivs:\t0", "Seccomp:\t2"}},
		"unconfined": {pipeline.Security{Seccomp: pipeline.ProfileUnconfined}, []string{"NoNewPrivs:\t1", "Seccomp:\t0", "made"}},
		"own":        {pipeline.Security{Seccomp: noFork}, []string{"Seccomp:\t2", "Function not implemented"}},
	} {
		spec := sh(name, "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; busybox mkdir /tmp/x 2>&1 && echo made")
		spec.Security = tt.security
		out, _ := h.once(t, spec)
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, out)
			}
		}
	}
	spec := sh("broken", "true")
	spec.Security.Seccomp = `{"defaultAction": 5}`
	if _, err := h.Create(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "seccomp profile") {
		t.Errorf("a profile that can't be read: %v", err)
	}
}

// TestAppArmor: what a container's process gets, on hosts with and without it.
// That the kernel then enforces it is tried in the virtual machine.
func TestAppArmor(t *testing.T) {
	loaded := errors.New("the profile was loaded")
	for name, tt := range map[string]struct {
		host, asked, want string
	}{
		"default":               {confine.Enforced, "", loaded.Error()},
		"default by name":       {confine.Enforced, pipeline.ProfileDefault, loaded.Error()},
		"a host without it":     {"not enabled in the kernel", "", ""},
		"unconfined without it": {"not enabled in the kernel", pipeline.ProfileUnconfined, ""},
		"named without it":      {"not enabled in the kernel", "mine", `the AppArmor profile "mine" can't be set: AppArmor is not enabled in the kernel`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.stop()
			h.config.Confine = func() confine.Facts { return confine.Facts{AppArmor: tt.host} }
			h.config.LoadProfile = func(context.Context) error { return loaded }
			h.boot(t)
			spec := sh("armoured", "true")
			spec.Security.AppArmor = tt.asked
			_, err := h.Create(t.Context(), spec)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestInit: what a program leaves is reaped, signals and exit codes pass, and
// nothing of it comes into the writable layer.
func TestInit(t *testing.T) {
	h := newHost(t)
	spec := sh("reaped", "sh -c 'sleep 0.2 &'; sleep 1; ps -o pid,stat,args; ls -d /dev/dray-init; exit 7")
	spec.Init = true
	out, c := h.once(t, spec)
	if c.ExitCode != 7 || strings.Contains(out, "Z") || !strings.Contains(out, "/dev/dray-init sh -c") {
		t.Errorf("code %d:\n%s", c.ExitCode, out)
	}
	if _, err := os.Stat(filepath.Join(h.images.base, "layers", c.ID, "u", "dev", "dray-init")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pid 1 is in the layer: %v", err)
	}
	spec = sh("signalled", "trap 'echo got; exit 3' TERM; echo ready; while true; do sleep 0.1; done")
	spec.Init, spec.User = true, "app"
	c = h.run(t, spec)
	h.awaitLine(t, c.ID, "ready")
	if err := h.Stop(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	if c = h.wait(t, c.ID); c.ExitCode != 3 {
		t.Errorf("code %d, want the program's own", c.ExitCode)
	}
	spec = sh("missing", "")
	spec.Init, spec.Command, spec.Entrypoint = true, []string{"nowhere"}, []string{}
	if out, c = h.once(t, spec); c.ExitCode != 127 || !strings.Contains(out, "starting nowhere: No such file or directory") {
		t.Errorf("code %d: %s", c.ExitCode, out)
	}
	if memory, own := program(t, filepath.Join(h.config.Root, "dray-init")), program(t, ociPath); memory == own {
		t.Error("containers have the host's own dray-oci")
	}
}

// program identifies a file.
func program(t *testing.T, path string) uint64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Ino
}

// TestAnotherRuntime has a container made, executed in, paused, found again and
// removed by the OCI runtime that it names.
func TestAnotherRuntime(t *testing.T) {
	wrapped := filepath.Join(t.TempDir(), "wrapped")
	if err := os.WriteFile(wrapped, []byte("#!/bin/sh\nexec "+ociPath+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := newHost(t)
	spec := sh("other", "echo begins; sleep 60")
	spec.Security.Runtime = wrapped
	c := h.run(t, spec)
	h.awaitLine(t, c.ID, "begins")
	if out, code := h.exec(t, c.ID, runtime.ExecConfig{Command: []string{"sh", "-c", "echo inside; exit 5"}}); code != 5 || !strings.Contains(out, "inside") {
		t.Errorf("exec: code %d: %s", code, out)
	}
	if err := h.Pause(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	h.stop()
	h.boot(t)
	c, err := h.Get(c.ID)
	if err != nil || c.State != runtime.Paused {
		t.Fatalf("after the agent's restart: %+v, %v", c, err)
	}
	if err := h.Unpause(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(0)
	if err := h.Stop(t.Context(), c.ID, &grace); err != nil {
		t.Fatal(err)
	}
	if c = h.wait(t, c.ID); c.ExitCode != 137 {
		t.Errorf("%+v", c)
	}
}
