package acceptance

import (
	"errors"
	"strings"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/world"
)

// TestRun runs containers beside those of a service: what they have, what they
// have not, and that nothing is left of them.
func TestRun(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	w.App(t, "dev: d1")
	w.Replace(t, "Dockerfile", "FROM scratch", "FROM busybox")
	w.Replace(t, "dray.hcl", "  resources {", "  volume \"data\" { destination = \"/data\" }\n  resources {")
	w.Replace(t, "dray.hcl", "env   = { MODE = var.mode }", "env   = { MODE = var.mode, COLOUR = \"blue\" }\n  secret \"TOKEN\" { env = \"TOKEN\" }")
	w.Write(t, map[string]string{".dray/secrets": "TOKEN=hidden\n"})
	w.Dray(t, 0, "deploy", "dev")
	shell := func(code int, script string, flags ...string) world.Result {
		t.Helper()
		args := append([]string{"run", "dev", "web", "--entrypoint", "sh"}, flags...)
		return w.Dray(t, code, append(args, "--", "-c", script)...)
	}

	r := shell(9, `echo "$COLOUR $MORE $TOKEN $VERSION on $(hostname)"; echo aside >&2; wget -qO- http://web:8080/up; echo kept >/data/file; exit 9`, "-e", "MORE=much")
	if r.Stdout != "blue much hidden 1 on web-run\nup\n" || !strings.Contains(r.Stderr, "aside") {
		t.Errorf("%s", r)
	}
	if got := w.Dray(t, 0, "exec", "dev", "web", "--", "cat", "/data/file").Stdout; got != "kept\n" {
		t.Errorf("the volume holds %q", got)
	}
	for command, want := range map[string]struct {
		code int
		says string
	}{
		"nothing-like-it": {127, " on d1 can't run nothing-like-it: executable file not found in $PATH\n"},
		"/etc/passwd":     {126, " on d1 can't run /etc/passwd: permission denied\n"},
	} {
		if r := w.Dray(t, want.code, "exec", "dev", "web", "--", command); r.Stdout != "" || r.Stderr != "✗ web/1"+want.says {
			t.Errorf("%s", r)
		}
		if r := w.Dray(t, want.code, "run", "dev", "web", "--entrypoint", command); r.Stdout != "" || r.Stderr != "✗ web"+want.says {
			t.Errorf("%s", r)
		}
	}
	limit := shell(0, "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true")
	if !strings.Contains(limit.Stdout, "67108864") {
		t.Errorf("its memory is not bounded as the service's: %s", limit)
	}
	for range 10 { // whatever is written before the end arrives
		if r := w.Dray(t, 0, "run", "dev", "web", "--entrypoint", "echo", "--", "first and last words"); r.Stdout != "first and last words\n" {
			t.Errorf("%s", r)
		}
	}
	t.Run("while the agent is replaced", func(t *testing.T) { runThroughAKill(t, w) })
	cmd := w.Command(t.Context(), "run", "-i", "dev", "web", "--entrypoint", "sort")
	cmd.Stdin = strings.NewReader("b\na\n")
	if out, err := cmd.Output(); err != nil || string(out) != "a\nb\n" {
		t.Errorf("with input: %q, %v", out, err)
	}
	onlyTheRelease(t, w)

	t.Run("at a terminal", func(t *testing.T) {
		seen, pty, end := atTerminal(t, w, nil, "run", "-it", "dev", "web", "--entrypoint", "sh")
		eventually(t, 20*time.Second, "a prompt", func() error {
			if !strings.Contains(seen.String(), "#") {
				return errors.New(seen.String())
			}
			return nil
		})
		if _, err := pty.Write([]byte("test -t 1 && exit 7\n")); err != nil {
			t.Fatal(err)
		}
		if code := end(); code != 7 {
			t.Errorf("exit %d: %s", code, seen.String())
		}
	})
	t.Run("beside the service", func(t *testing.T) { runBeside(t, w) })
}

// runBeside runs what the service runs, and kills the client.
func runBeside(t *testing.T, w *world.World) {
	var out buffer
	cmd := w.Command(t.Context(), "run", "dev", "web")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "its first words", func() error {
		if !strings.Contains(out.String(), "app 1 listens on :8080") {
			return errors.New(out.String())
		}
		return nil
	})
	if ps := w.Dray(t, 0, "ps", "dev").Stdout; !strings.Contains(ps, "web/run") {
		t.Errorf("ps does not show it:\n%s", ps)
	}
	if s := w.Status(t)["dev"]; s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
		t.Errorf("status: %+v", s)
	}
	w.Dray(t, 0, "deploy", "dev", "--var", "version=2")
	for range 20 {
		answer, err := get("http://" + w.Lab.Host("d1").Addr + "/version")
		if err != nil || !strings.HasPrefix(answer, "2 web-") || strings.Contains(answer, "web-run") {
			t.Errorf("the service answers %q, %v", answer, err)
		}
	}
	if ps := w.Dray(t, 0, "ps", "dev").Stdout; !strings.Contains(ps, "web/run") {
		t.Errorf("the deployment ended it:\n%s", ps)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, 20*time.Second, "the end of it", func() error {
		if ps := w.Dray(t, 0, "ps", "dev", "-a").Stdout; strings.Contains(ps, "web/run") {
			return errors.New(ps)
		}
		return nil
	})
	onlyTheRelease(t, w)
}

// onlyTheRelease looks that nothing of what was run is left.
func onlyTheRelease(t *testing.T, w *world.World) {
	t.Helper()
	if ps := w.Dray(t, 0, "ps", "dev", "-a").Stdout; strings.Contains(ps, "/run") {
		t.Errorf("something is left:\n%s", ps)
	}
	if s := w.Status(t)["dev"]; s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
		t.Errorf("status: %+v", s)
	}
}

// runThroughAKill kills the agent while a program runs: it goes on, and the client
// has the rest of its output, each byte once, and its exit code.
func runThroughAKill(t *testing.T, w *world.World) {
	const script = "printf begun; until [ -e /data/go ]; do sleep 0.1; done; rm /data/go; echo ' and done'; exit 6"
	run := w.Command(t.Context(), "run", "dev", "web", "--entrypoint", "sh", "--", "-c", script)
	var seen buffer
	run.Stdout = &seen
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the run", func() error {
		if seen.String() != "begun" {
			return errors.New(seen.String())
		}
		return nil
	})
	if err := killAgent(w.Lab.Host("d1")); err != nil {
		t.Fatal(err)
	}
	w.Dray(t, 0, "exec", "dev", "web", "--", "touch", "/data/go")
	_ = run.Wait() // looked at below
	if code := run.ProcessState.ExitCode(); code != 6 || seen.String() != "begun and done\n" {
		t.Errorf("dray run ended with %d and printed %q", code, seen.String())
	}
}
