package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/world"
)

// TestSystemd brings a service to a host whose init is systemd and whose
// cgroups are version 2, without controllers, and looks that the agent is a
// unit like any other: what happens to it does not happen to containers.
func TestSystemd(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}, Init: testenv.Systemd})
	w.App(t, "prod: p1")
	w.Replace(t, "dray.hcl", `memory = "64MiB"`, "cpu = 0.5\n    memory = \"64MiB\"")
	host := w.Lab.Host("p1")
	first := w.Dray(t, 0, "deploy", "prod")
	for _, limit := range []string{"memory", "cpu", "pids"} {
		if !strings.Contains(first.Stdout+first.Stderr, "p1 has no "+limit+" controller") {
			t.Errorf("it does not say that %s is not limited: %s", limit, first)
		}
	}
	serves(t, w, "p1", "1")
	healthy := func(t *testing.T) {
		t.Helper()
		eventually(t, 30*time.Second, "all instances, and no remarks", func() error {
			if s := w.Status(t)["prod"]; s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	}
	ctl := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := host.Exec(t.Context(), append([]string{"systemctl"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	// agentEnds does something that ends the agent, and looks that systemd
	// starts another and that clients and containers notice nothing.
	agentEnds := func(t *testing.T, end func()) {
		t.Helper()
		before, agent := drained(t, w, 2), ctl(t, "show", "-P", "MainPID", "dray")
		stop := watch(t, w, "p1", true)
		end()
		eventually(t, 20*time.Second, "another agent", func() error {
			if now := ctl(t, "show", "-P", "MainPID", "dray"); now == agent || now == "0" {
				return fmt.Errorf("its process is %s", now)
			}
			return nil
		})
		healthy(t)
		stop()
		if after := containers(t, w); after != before {
			t.Errorf("containers changed:\n%s\n%s", before, after)
		}
		if got := ctl(t, "is-active", "dray"); got != "active" {
			t.Errorf("the unit is %s", got)
		}
	}

	comesBack := func(t *testing.T) {
		t.Helper()
		eventually(t, 30*time.Second, "the service, with nobody connected", func() error {
			_, err := get("http://" + host.Addr + "/version")
			return err
		})
		serves(t, w, "p1", "2")
		healthy(t)
	}

	t.Run("the agent is a unit", func(t *testing.T) {
		if got := ctl(t, "is-enabled", "dray"); got != "enabled" {
			t.Errorf("the unit is %s", got)
		}
		if got := ctl(t, "show", "-P", "Type,WatchdogUSec", "dray"); got != "notify\n2min" {
			t.Errorf("its unit has %q", got)
		}
		if got := ctl(t, "show", "-P", "NRestarts", "dray"); got != "0" {
			t.Errorf("systemd has started it %s times again", got)
		}
		if got := ctl(t, "status", "dray"); !strings.Contains(got, "active (running)") {
			t.Errorf("systemctl status: %s", got)
		}
	})
	t.Run("agent killed", func(t *testing.T) { agentEnds(t, func() { kill(t, host, "drayd agent") }) })
	t.Run("unit restarted", func(t *testing.T) { agentEnds(t, func() { ctl(t, "restart", "dray") }) })
	t.Run("bundle replaced", func(t *testing.T) {
		agentEnds(t, func() {
			w.Env = append(w.Env, "DRAY_BUNDLE_DIR="+anotherBundle(t, w.Bin))
			w.Dray(t, 0, "deploy", "prod")
		})
		out, err := host.Exec(t.Context(), "/var/lib/dray/bin/current/drayd", "version")
		if err != nil || !strings.Contains(out, "another") {
			t.Errorf("the host has %q (%v)", out, err)
		}
		w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
		serves(t, w, "p1", "2")
	})
	t.Run("unit stopped", func(t *testing.T) {
		before := drained(t, w, 2)
		ctl(t, "stop", "dray")
		serves(t, w, "p1", "2")
		if notes := strings.Join(w.Status(t)["prod"].Notes, " "); !strings.Contains(notes, "looking does not start it") {
			t.Errorf("status says %q of a stopped agent", notes)
		}
		w.Dray(t, 0, "deploy", "prod", "--var", "version=2") // whoever comes to change something starts it
		healthy(t)
		if after := containers(t, w); after != before {
			t.Errorf("containers changed:\n%s\n%s", before, after)
		}
	})
	t.Run("host powered off", func(t *testing.T) {
		if got := ctl(t, "is-active", "dray-containers"); got != "active" {
			t.Errorf("the unit that stops containers is %s", got)
		}
		drained(t, w, 2)
		if got := w.Dray(t, 0, "logs", "prod", "web"); strings.Contains(got.Stdout+got.Stderr, "ended in order") {
			t.Errorf("instances had ended before: %s", got)
		}
		if err := host.PowerOff(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := host.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		comesBack(t)
		if got := w.Dray(t, 0, "logs", "prod", "web"); strings.Count(got.Stdout+got.Stderr, "app 2 ended in order") != 2 {
			t.Errorf("not both instances could end in order: %s", got)
		}
	})
	t.Run("host rebooted", func(t *testing.T) {
		if err := host.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		comesBack(t)
	})
	t.Run("nothing is left", func(t *testing.T) {
		w.Dray(t, 0, "down", "--yes", "prod")
		out, err := host.Exec(t.Context(), "sh", "-c", "find /sys/fs/cgroup/dray -mindepth 1 -type d; systemctl --failed --no-legend --plain")
		if err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("%q (%v)", out, err)
		}
	})
}

// anotherBundle makes a folder with the programs of a host, of which the
// daemon calls itself another version.
func anotherBundle(t *testing.T, bin string) string {
	t.Helper()
	dir := t.TempDir()
	runtime, err := os.ReadFile(filepath.Join(bin, "dray-oci"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dray-oci"), runtime, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-ldflags", "-s -w -X dray/targets/api.BuildVersion=another", "-o", filepath.Join(dir, "drayd"), "dray/cmd/drayd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building another drayd: %v\n%s", err, out)
	}
	return dir
}
