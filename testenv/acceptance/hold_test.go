package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dray/testenv"
	"dray/testenv/world"
)

// TestAFailedReleaseIsHeld brings releases that fail on their second host,
// where the file says auto_revert = false, and goes back in each way that there
// is.
func TestAFailedReleaseIsHeld(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1", "p2"}})
	w.App(t, "prod: p1 p2")
	w.Replace(t, "dray.hcl", "    min_healthy_time = \"100ms\"\n", "    min_healthy_time = \"100ms\"\n    auto_revert      = false\n")
	w.Replace(t, "dray.hcl", "environment \"prod\" {\n", "environment \"prod\" {\n  verify \"look\" { command = [\"./look.sh\"] }\n")
	w.Write(t, map[string]string{"look.sh": "#!/bin/sh\n[ -e look ] || exit 0\n: >looking\nwhile [ -e look ]; do sleep 0.05; done\nexit 1\n"})
	w.Env = append(w.Env, "DRAY_LEASE=3s", "DRAY_LOCK_WAIT=1m")
	w.Dray(t, 0, "deploy", "prod")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
	fail := func(t *testing.T, version string) world.Result {
		t.Helper()
		return w.Dray(t, 4, "deploy", "prod", "--var", "version="+version, "--var", "mode=unhealthy web-2")
	}
	t.Run("it stays", func(t *testing.T) {
		says(t, fail(t, "3"), "web/2", "not well", "Its last lines:",
			"Release 3 is still in place on p1 and p2", "auto_revert is false (dray.hcl:",
			"web 1 of release 2 and 1 of release 3", "Next: dray rollback prod goes back to release 2")
		held(t, w, "at once")
		if err := killAgent(w.Lab.Host("p1")); err != nil {
			t.Fatal(err)
		}
		held(t, w, "after the agent was killed")
		if err := w.Lab.Host("p2").Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		held(t, w, "after a reboot")
		if r := w.Dray(t, 2, "plan", "prod", "--var", "version=2"); !strings.Contains(r.Stdout, "release 3 failed and is held") {
			t.Errorf("the plan does not say so: %s", r)
		}
	})
	t.Run("rollback goes back, and no further", func(t *testing.T) {
		r := w.Dray(t, 0, "rollback", "prod")
		if !strings.Contains(r.Stdout, "(release 2)") {
			t.Errorf("it does not say what runs: %s", r)
		}
		tidy(t, w, 2, "2")
		history := w.Dray(t, 0, "history", "prod").Stdout
		for _, result := range []string{"held", "reverted"} {
			if !strings.Contains(history, result) {
				t.Errorf("history does not say %s:\n%s", result, history)
			}
		}
	})
	t.Run("a repaired one takes its place", func(t *testing.T) {
		fail(t, "4")
		says(t, w.Dray(t, 0, "deploy", "prod", "--var", "version=5"), "failed and was held; going back to release 2")
		tidy(t, w, 5, "5")
	})
	t.Run("recover goes back", func(t *testing.T) {
		fail(t, "6")
		says(t, w.Dray(t, 5, "recover", "prod"), "release 6 of prod is taken back only with a yes", "held on p1 and p2, to release 5", "Next: dray recover prod --yes")
		serves(t, w, "p1", "6")
		w.Dray(t, 0, "recover", "prod", "--yes")
		tidy(t, w, 5, "5")
	})
	t.Run("a host that can't be told goes back by itself", func(t *testing.T) {
		w.Write(t, map[string]string{"look": ""})
		var said bytes.Buffer
		cmd := w.Command(t.Context(), "deploy", "prod", "--var", "version=7")
		cmd.Env, cmd.Stderr = append(cmd.Env, "DRAY_LEASE=20s"), &said // longer than a host takes to stop
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, "both being looked at", func() error { _, err := os.Stat(filepath.Join(w.Project, "looking")); return err })
		if err := w.Lab.Host("p2").Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(w.Project, "look")); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // exit 4
		if cmd.ProcessState.ExitCode() != 4 {
			t.Errorf("it ended with %d", cmd.ProcessState.ExitCode())
		}
		says(t, world.Result{Stderr: said.String()}, "verify look", "Release 7 is still in place on p1 as far", "p2 could not be told to hold it")
		serves(t, w, "p1", "7")
		if err := w.Lab.Host("p2").Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "p2 having gone back", func() error {
			if got, err := get("http://" + w.Lab.Host("p2").Addr + "/version"); err != nil || !strings.HasPrefix(got, "5 ") {
				return fmt.Errorf("p2 serves %q, %w", got, err)
			}
			return nil
		})
		serves(t, w, "p1", "7")
		w.Dray(t, 0, "rollback", "prod")
		tidy(t, w, 5, "5")
	})
	t.Run("whose deployer dies goes back by itself", func(t *testing.T) {
		cmd := w.Command(t.Context(), "deploy", "prod", "--var", "version=8", "--var", "mode=unhealthy web-2")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, "the first host being changed", func() error {
			if got, err := get("http://" + w.Lab.Host("p1").Addr + "/version"); err != nil || !strings.HasPrefix(got, "8 ") {
				return fmt.Errorf("p1 serves %q, %w", got, err)
			}
			return nil
		})
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		eventually(t, 30*time.Second, "both having gone back", func() error {
			if s := w.Status(t)["prod"]; len(s.Notes) > 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		tidy(t, w, 5, "5")
	})
}

// held looks that both hosts keep release 3 as far as it came, and that status
// says so.
func held(t *testing.T, w *world.World, when string) {
	t.Helper()
	eventually(t, time.Minute, "both hosts answering "+when, func() error {
		for _, host := range []string{"p1", "p2"} {
			if _, err := get("http://" + w.Lab.Host(host).Addr + "/up"); err != nil {
				return err
			}
		}
		return nil
	})
	time.Sleep(4 * time.Second) // longer than a lease: what does not happen gives no sign to wait for
	serves(t, w, "p1", "3")
	serves(t, w, "p2", "2")
	s := w.Status(t)["prod"]
	notes := strings.Join(s.Notes, "\n")
	for _, want := range []string{"p1, p2: release 3 by ", "failed and is held, as auto_revert is false: web/2 of release 3", "p1: from release 3 serves web/1", "p2: of release 3 runs, and does not serve, web/2", "dray rollback prod"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%s status does not say %q:\n%s", when, want, notes)
		}
	}
	if s.Release != 2 || s.Services["web"] != "2/2 healthy" {
		t.Errorf("%s status is %+v", when, s)
	}
}

// tidy looks that a release runs on both hosts, and nothing else.
func tidy(t *testing.T, w *world.World, release int, version string) {
	t.Helper()
	serves(t, w, "p1", version)
	serves(t, w, "p2", version)
	if s := w.Status(t)["prod"]; s.Release != release || s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
		t.Errorf("status: %+v, want release %d", s, release)
	}
	if ps := w.Dray(t, 0, "ps", "prod").Stdout; strings.Count(ps, "web/") != 2 {
		t.Errorf("something else runs:\n%s", ps)
	}
}

// killAgent kills the agent of a host; its keeper starts another one.
func killAgent(h *testenv.Host) error { return signalAgent(h, unix.SIGKILL) }

// signalAgent sends the agent of a host a signal: SIGTERM ends it as an upgrade
// does.
func signalAgent(h *testenv.Host, signal unix.Signal) error {
	processes, err := h.Processes()
	if err != nil {
		return err
	}
	for _, p := range processes {
		if strings.Contains(p.Command, "drayd agent") {
			return unix.Kill(p.PID, signal)
		}
	}
	return errors.New("no agent runs on " + h.Name)
}

// TestARolloutThatComesToAStand replaces a container that does not end when it
// is asked to: the new one can't start, and healthy_deadline does not count yet.
func TestARolloutThatComesToAStand(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	w.Replace(t, "dray.hcl", "count = var.count", "count = 1")
	w.Replace(t, "dray.hcl", "  update {\n", "  stop { grace = \"20s\" }\n  update {\n    strategy = \"recreate\"\n    progress_deadline = \"8s\"\n")
	w.Dray(t, 0, "deploy", "prod", "--var", "mode=stubborn")
	r := w.Dray(t, 3, "deploy", "prod", "--var", "version=2")
	says(t, r, "no further instance became healthy within 8s (progress_deadline, dray.hcl:", "waited for web/1 on p1 (not started)", "p1 serves release 1 again",
		"Next: dray logs prod web shows what the old one still does; a longer progress_deadline (dray.hcl:")
	if r.Took < 8*time.Second {
		t.Errorf("it was over after %s", r.Took)
	}
	serves(t, w, "p1", "1")
	if s := w.Status(t)["prod"]; s.Release != 1 || s.Services["web"] != "1/1 healthy" || len(s.Notes) > 0 {
		t.Errorf("status: %+v", s)
	}
	// One that has started says what is wrong with it.
	w.Replace(t, "dray.hcl", "recreate", "rolling")
	w.Replace(t, "dray.hcl", "progress_deadline = \"8s\"", "progress_deadline = \"6s\"")
	r = w.Dray(t, 3, "deploy", "prod", "--var", "version=2", "--var", "mode=deaf")
	says(t, r, "within 6s (progress_deadline", "waited for web/1 on p1 (starting)", "connection refused",
		"listens on :8181, not on 8080 (port \"http\" at dray.hcl:", "Its last lines:", "Next: dray logs prod web --release")
}
