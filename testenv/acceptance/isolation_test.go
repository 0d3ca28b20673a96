package acceptance

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/world"
)

// TestIsolation looks at a container from inside, and tries to break out of
// its limits.
func TestIsolation(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	w.App(t, "dev: d1")
	w.Replace(t, "Dockerfile", "FROM scratch", "FROM busybox")
	w.Dray(t, 0, "deploy", "dev", "--var", "count=1")
	inside := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(w.Dray(t, 0, append([]string{"exec", "dev", "web", "--"}, args...)...).Stdout)
	}
	facts := map[string][]string{
		"/app":              {"cat", "/proc/1/comm"},
		"web-1":             {"hostname"},
		"Seccomp:\t2":       {"grep", "Seccomp:", "/proc/1/status"},
		"NoNewPrivs:\t1":    {"grep", "NoNewPrivs", "/proc/1/status"},
		"00000000a80425fb":  {"grep", "CapBnd", "/proc/1/status"},
		"Read-only file sy": {"sh", "-c", "echo 1 2>&1 >/proc/sys/kernel/hostname || true"},
		"10.209.":           {"ip", "-4", "addr", "show", "eth0"},
	}
	for want, command := range facts {
		if got := inside(command...); !strings.Contains(got, strings.TrimPrefix(want, "/")) {
			t.Errorf("%v: %q, want %q", command, got, want)
		}
	}
	if processes := inside("sh", "-c", "ls -d /proc/[0-9]* | wc -l"); len(processes) > 1 {
		t.Errorf("it sees %s processes", processes)
	}
	url := "http://" + w.Lab.Host("d1").Addr

	t.Run("memory", func(t *testing.T) {
		_, _ = get(url + "/eat") // the answer never comes: it is killed
		eventually(t, 20*time.Second, "restart after the kill", func() error { _, err := get(url + "/up"); return err })
		ps := w.Dray(t, 0, "ps", "dev", "--json").Stdout
		if !strings.Contains(ps, `"oom_killed":true`) && !strings.Contains(ps, `"restarts":1`) {
			t.Errorf("ps does not tell of the kill: %s", ps)
		}
		if _, err := w.Lab.Host("d1").Exec(t.Context(), "true"); err != nil {
			t.Errorf("the host was harmed: %v", err)
		}
	})
	t.Run("pids", func(t *testing.T) {
		text, err := get(url + "/fork")
		if err != nil {
			t.Fatal(err)
		}
		started, err := strconv.Atoi(text)
		if err != nil || started >= 64 {
			t.Errorf("it started %q processes; pids = 64", text)
		}
	})
}

// TestRestarts looks that services survive what kills the processes around
// them.
func TestRestarts(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	w.Dray(t, 0, "deploy", "prod")
	host := w.Lab.Host("p1")
	url := "http://" + host.Addr + "/version"

	t.Run("agent killed", func(t *testing.T) {
		before := containers(t, w)
		stop := watch(t, w, "p1", true)
		kill(t, host, "drayd agent")
		r := w.Dray(t, 0, "status", "prod")
		stop()
		if !strings.Contains(r.Stdout, "2 running") && !strings.Contains(r.Stdout, "2/2 healthy") {
			t.Errorf("status: %s", r)
		}
		eventually(t, 10*time.Second, "the new agent having checked all", func() error {
			if s := w.Status(t)["prod"]; s.Services["web"] != "2/2 healthy" {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		if after := containers(t, w); after != before {
			t.Errorf("containers changed:\n%s\n%s", before, after)
		}
	})
	t.Run("shim killed", func(t *testing.T) {
		kill(t, host, " shim ")
		eventually(t, 20*time.Second, "all instances again", func() error {
			if s := w.Status(t)["prod"]; s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
				return fmt.Errorf("%+v", s)
			}
			_, err := get(url)
			return err
		})
	})
	t.Run("host rebooted", func(t *testing.T) {
		if err := host.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "the service, with nobody connected", func() error { _, err := get(url); return err })
		eventually(t, 20*time.Second, "all instances again", func() error {
			if s := w.Status(t)["prod"]; s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	})
}

// containers lists the running containers with their start, as one text.
func containers(t *testing.T, w *world.World) string {
	t.Helper()
	out, err := w.Lab.Host("p1").Exec(t.Context(), "sh", "-c", "ps -eo pid,lstart,args | grep '[/]app' | sort")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// drained waits until what the last release replaced has ended, and returns the
// containers of p1 then.
func drained(t *testing.T, w *world.World, count int) (now string) {
	t.Helper()
	eventually(t, 30*time.Second, "old containers have ended", func() error {
		if now = containers(t, w); strings.Count(now, "\n") != count {
			return fmt.Errorf("these run:\n%s", now)
		}
		return nil
	})
	return now
}

// kill ends, with SIGKILL, the newest process of a host whose command line
// holds text.
func kill(t *testing.T, host *testenv.Host, text string) {
	t.Helper()
	processes, err := host.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if strings.Contains(p.Command, text) {
			if _, err := host.Exec(t.Context(), "kill", "-9", strconv.Itoa(p.HostPID)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s runs nothing like %q: %v", host.Name, text, processes)
}
