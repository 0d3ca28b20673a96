package acceptance

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/world"
)

// serves is the version that a host answers with.
func serves(t *testing.T, w *world.World, host, version string) {
	t.Helper()
	got, err := get("http://" + w.Lab.Host(host).Addr + "/version")
	if err != nil || !strings.HasPrefix(got, version+" ") {
		t.Errorf("%s serves %q (%v), want version %s", host, got, err, version)
	}
}

// says looks that a failure tells all of these.
func says(t *testing.T, r world.Result, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.Stderr, text) {
			t.Errorf("it does not say %q: %s", text, r)
		}
	}
}

// TestBadReleases brings releases that can't run, and looks that the old one
// goes on serving on all hosts.
func TestBadReleases(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1", "p2"}})
	w.App(t, "prod: p1 p2")
	w.Dray(t, 0, "deploy", "prod")
	tests := []struct {
		mode string
		says []string
	}{
		{"unhealthy", []string{"did not become healthy", "/up", "Its last lines:", "telling that I am not well", "serve release 1 again"}},
		{"exit", []string{"Its last lines:", "exiting, as told"}},
		{"deaf", []string{"8181", "8080"}},
	}
	for _, test := range tests {
		t.Run(test.mode, func(t *testing.T) {
			stop := watch(t, w, "p1", false)
			r := w.Dray(t, 3, "deploy", "prod", "--var", "version=2", "--var", "mode="+test.mode)
			stop()
			says(t, r, test.says...)
			for _, host := range []string{"p1", "p2"} {
				serves(t, w, host, "1")
			}
			if s := w.Status(t)["prod"]; s.Release != 1 || s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
				t.Errorf("status: %+v", s)
			}
			if ps := w.Dray(t, 0, "ps", "prod").Stdout; strings.Count(ps, "web/") != 2 {
				t.Errorf("something of the new release is left:\n%s", ps)
			}
		})
	}
	t.Run("and a good one passes", func(t *testing.T) {
		w.Dray(t, 0, "deploy", "prod", "--var", "version=3")
		serves(t, w, "p1", "3")
		serves(t, w, "p2", "3")
	})
	t.Run("a canary goes on with a yes", func(t *testing.T) { canaryWithAYes(t, w) })
}

// canaryWithAYes brings a canary with nobody to ask, and at a terminal.
func canaryWithAYes(t *testing.T, w *world.World) {
	w.Replace(t, "dray.hcl", "  update {\n", "  update {\n    strategy = \"canary\"\n    canary = 1\n")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=3", "--continue")
	stop := watch(t, w, "p1", false)
	says(t, w.Dray(t, 5, "deploy", "prod", "--var", "version=4"), "the canary of web goes on only with a yes (dray.hcl:", "Nothing was changed.", "Next: dray deploy prod --var version=… --continue")
	stop()
	for answer, code := range map[string]int{"no\n": 3, "what?\ny\n": 0} {
		if got, said := typing(t, w, answer, "deploy", "prod", "--var", "version="+strconv.Itoa(4+code)); got != code || (code == 3) != strings.Contains(said, "you said no at the terminal") {
			t.Errorf("%q: exit %d, %s", answer, got, said)
		}
	}
	serves(t, w, "p2", "4")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=4") // nothing changes, and nobody is needed
}

// TestFaultsInTheProject looks that faults in the user's files are told with
// their place, and change nothing.
func TestFaultsInTheProject(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	w.App(t, "dev: d1")
	w.Dray(t, 0, "deploy", "dev")
	good := map[string]string{"Dockerfile": read(t, w, "Dockerfile"), "dray.hcl": read(t, w, "dray.hcl")}
	tests := []struct {
		name      string
		file, now string
		says      []string
	}{
		{"no Dockerfile", "Dockerfile", "", []string{"Dockerfile", "Next: write it"}},
		{"syntax error in the Dockerfile", "Dockerfile", "FROM scratch\nCOPPY app /app\n", []string{"Dockerfile:2", "COPPY", "Next: fix Dockerfile:2"}},
		{"failing RUN", "Dockerfile", "FROM busybox\nRUN echo before; echo it is broken >&2; exit 7\n", []string{"Dockerfile:2", "it is broken", "7", "Next: fix Dockerfile:2"}},
		{"missing file", "Dockerfile", "FROM scratch\nCOPY nothing /\n", []string{"Dockerfile:2", "nothing"}},
		{"unknown key", "dray.hcl", strings.Replace(good["dray.hcl"], "check {", "helth {", 1), []string{"dray.hcl:", "helth", "Did you mean", "check"}},
		{"unknown host", "dray.hcl", strings.Replace(good["dray.hcl"], "[host.d1]", "[host.d2]", 1), []string{"dray.hcl:", "d2", "host.d1"}},
		{"no such address", "dray.hcl", strings.Replace(good["dray.hcl"], "ssh://deploy@d1", "ssh://deploy@d9.invalid", 1), []string{"d9.invalid", "Next: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.Write(t, good)
			if test.now == "" {
				if err := os.Remove(filepath.Join(w.Project, test.file)); err != nil {
					t.Fatal(err)
				}
			} else {
				w.Write(t, map[string]string{test.file: test.now})
			}
			r := w.Dray(t, 1, "deploy", "dev")
			says(t, r, test.says...)
			serves(t, w, "d1", "1")
		})
	}
}

func read(t *testing.T, w *world.World, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.Project, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestFaultsOfHosts looks that hosts which can't be used are told before
// anything changes.
func TestFaultsOfHosts(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1", "p2"}, Bastion: "gate", DiskSize: 600 << 20})
	w.App(t, "prod: p1 p2")
	w.Dray(t, 0, "deploy", "prod")
	still := func(t *testing.T) {
		t.Helper()
		serves(t, w, "p1", "1")
		serves(t, w, "p2", "1")
	}
	t.Run("a host is down", func(t *testing.T) {
		if err := w.Lab.Host("p2").Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := w.Dray(t, 1, "deploy", "prod", "--var", "version=2")
		says(t, r, "p2", "or go on without: --skip-host p2")
		serves(t, w, "p1", "1")
		if err := w.Lab.Host("p2").Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "p2 serving again", func() error { _, err := get("http://" + w.Lab.Host("p2").Addr + "/up"); return err })
	})
	t.Run("a port is taken", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		thief := w.Lab.Host("p2").Command(ctx, "busybox", "nc", "-l", "-p", "81")
		if err := thief.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { cancel(); _ = thief.Wait() }()
		good := read(t, w, "dray.hcl")
		defer w.Write(t, map[string]string{"dray.hcl": good})
		w.Replace(t, "dray.hcl", "publish = 80\n", "publish = 81\n")
		eventually(t, 10*time.Second, "the thief listening", func() error {
			_, err := w.Lab.Host("p2").Exec(t.Context(), "sh", "-c", "grep -qi ':0051 ' /proc/net/tcp /proc/net/tcp6")
			return err
		})
		r := w.Dray(t, 1, "deploy", "prod", "--var", "version=2")
		says(t, r, "p2", "81", "busybox", "publish another port (port \"http\" at dray.hcl:")
		still(t)
	})
	t.Run("the disk is full", func(t *testing.T) {
		good := read(t, w, "Dockerfile")
		defer w.Write(t, map[string]string{"Dockerfile": good})
		big := make([]byte, 8<<20)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(big) // never fails; the same bytes each time
		w.Write(t, map[string]string{"Dockerfile": good + "COPY big /big\n", "big": string(big)})
		if err := w.Lab.Host("p2").FillDisk(1 << 20); err != nil {
			t.Fatal(err)
		}
		r := w.Dray(t, 1, "deploy", "prod", "--var", "version=2")
		says(t, r, "p2", "does not fit", "dray prune")
		still(t)
		if err := w.Lab.Host("p2").FreeDisk(); err != nil {
			t.Fatal(err)
		}
		w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
		w.Dray(t, 0, "rollback", "prod")
	})
	t.Run("through a jump host", func(t *testing.T) {
		good := read(t, w, "dray.hcl")
		defer w.Write(t, map[string]string{"dray.hcl": good})
		w.Replace(t, "dray.hcl", `{ address = "ssh://deploy@p2" }`, "{\n  address = \"ssh://deploy@p2\"\n  jump    = \"ssh://deploy@gate\"\n}")
		w.Dray(t, 0, "deploy", "prod", "--var", "version=3")
		serves(t, w, "p2", "3")
		w.Dray(t, 0, "rollback", "prod")
	})
	t.Run("a wrong host key", func(t *testing.T) {
		known, err := os.ReadFile(w.Lab.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.WriteFile(w.Lab.KnownHosts, known, 0o644) }()
		swapped := strings.NewReplacer(w.Lab.Host("p1").Addr+" ", w.Lab.Host("p2").Addr+" ", w.Lab.Host("p2").Addr+" ", w.Lab.Host("p1").Addr+" ").Replace(string(known))
		if swapped == string(known) {
			swapped = strings.NewReplacer("p1 ", "p2 ", "p2 ", "p1 ").Replace(string(known))
		}
		if err := os.WriteFile(w.Lab.KnownHosts, []byte(swapped), 0o644); err != nil {
			t.Fatal(err)
		}
		r := w.Dray(t, 1, "deploy", "prod", "--var", "version=4")
		says(t, r, "SHA256:")
		still(t)
	})
	t.Run("an unknown host key", func(t *testing.T) {
		known, err := os.ReadFile(w.Lab.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.WriteFile(w.Lab.KnownHosts, known, 0o644) }()
		if err := os.WriteFile(w.Lab.KnownHosts, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		r := w.Dray(t, 1, "deploy", "prod", "--var", "version=4")
		says(t, r, "SHA256:", "dray host trust")
		w.Dray(t, 0, "host", "trust", "--yes", "p1", "p2")
		w.Dray(t, 0, "deploy", "prod", "--var", "version=4")
	})
}

// TestClientKilled kills dray in mid-deploy, and looks that the host goes back
// and the next command tells the truth.
func TestClientKilled(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	w.Dray(t, 0, "deploy", "prod")
	stop := watch(t, w, "p1", false)
	// Unhealthy, so that it is still waiting when it is killed.
	cmd := w.Command(t.Context(), "deploy", "prod", "--var", "version=2", "--var", "mode=unhealthy")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the deployment being under way", func() error {
		s := w.Status(t)["prod"]
		if len(s.Notes) == 0 {
			return os.ErrNotExist
		}
		return nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	w.Dray(t, 0, "deploy", "prod", "--var", "version=3", "--lock-wait", "1m")
	stop()
	serves(t, w, "p1", "3")
	if s := w.Status(t)["prod"]; s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
		t.Errorf("status: %+v", s)
	}
}

// TestTwoDeployers looks that of two deployments at once one is refused, and
// told who was first.
func TestTwoDeployers(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	w.Dray(t, 0, "deploy", "prod")
	slow := w.Command(t.Context(), "deploy", "prod", "--var", "version=2", "--var", "mode=unhealthy")
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the first one holding the lease", func() error {
		if len(w.Status(t)["prod"].Notes) == 0 {
			return os.ErrNotExist
		}
		return nil
	})
	r := w.Dray(t, 5, "deploy", "prod", "--var", "version=3")
	says(t, r, "being changed by", "dray deploy", "--lock-wait")
	_ = slow.Wait() // exit 3: its release is unhealthy
	if slow.ProcessState.ExitCode() != 3 {
		t.Errorf("the first one ended with %d", slow.ProcessState.ExitCode())
	}
	serves(t, w, "p1", "1")
}
