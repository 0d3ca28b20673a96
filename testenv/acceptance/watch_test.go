package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/world"
)

// TestWatch watches an environment through a deployment and the loss of a
// host, as lines and as JSON, and ends it as a person does. What other verbs say
// is looked at on the way.
func TestWatch(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1", "p2"}})
	w.App(t, "prod: p1 p2")
	impatient(t, w)
	w.Dray(t, 0, "deploy", "prod")
	lines, stopLines := watching(t, w, "status", "prod", "--watch")
	objects, stopObjects := watching(t, w, "status", "--watch", "--json")

	lastLine(t, lines, `^[0-9:]{8} prod  release 1  web 2/2 healthy$`)
	w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
	lastLine(t, lines, `^[0-9:]{8} prod  release 2  web 2/2 healthy$`)
	w.Dray(t, 3, "deploy", "prod", "--var", "version=3", "--var", "mode=unhealthy") // slow enough to be seen
	lastLine(t, lines, `^[0-9:]{8} prod  release 2  web 2/2 healthy$`)
	if all := lines.String(); !strings.Contains(all, "deploy of release 3 by ") || !strings.Contains(all, "being changed by ") {
		t.Errorf("the deployment was not told:\n%s", all)
	}
	answersInJSON(t, w)
	if err := w.Lab.Host("p2").Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	lastLine(t, lines, `prod  release 2  web 1/2 healthy, 1 not known  ! p2: `)
	saysWhoIsSilent(t, w)
	if err := w.Lab.Host("p2").Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	lastLine(t, lines, `^[0-9:]{8} prod  release 2  web 2/2 healthy$`)
	eventually(t, time.Minute, "the other watcher seeing p2 go and come back", func() error {
		if lost, back := goneAndBack(t, objects.String()); !lost || !back {
			return fmt.Errorf("p2 was lost: %t, and came back: %t\n%s", lost, back, objects.String())
		}
		return nil
	})
	stopLines()
	stopObjects()
	if n := strings.Count(lines.String(), "\n"); n > 40 {
		t.Errorf("%d lines for so little:\n%s", n, lines.String())
	}
}

// goneAndBack tells whether the second host of prod is without an answer in one
// of the objects that status --watch --json printed, and has one in the last.
func goneAndBack(t *testing.T, objects string) (lost, back bool) {
	t.Helper()
	for line := range strings.Lines(objects) {
		var v struct {
			world.Status
			Hosts []struct{ Host, Error string }
		}
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Environment != "prod" || len(v.Hosts) != 2 {
			t.Fatalf("%v: %s", err, line)
		}
		lost = lost || v.Hosts[1].Error != ""
		back = lost && v.Hosts[1].Error == ""
	}
	return lost, back
}

// TestWatchAtATerminal looks that the picture is drawn in place, and that
// Ctrl-C is a good end.
func TestWatchAtATerminal(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1"}})
	w.App(t, "prod: p1")
	w.Dray(t, 0, "deploy", "prod")
	seen, pty, end := atTerminal(t, w, nil, "status", "--watch")
	shows := func(text string) {
		t.Helper()
		eventually(t, 20*time.Second, text, func() error {
			if !strings.Contains(seen.String(), text) {
				return errors.New(seen.String())
			}
			return nil
		})
	}
	shows("2/2 healthy")
	shows("\x1b[2A\r\x1b[J") // two lines are drawn again
	if _, err := pty.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if code := end(); code != 0 {
		t.Errorf("Ctrl-C ended it with %d: %q", code, seen.String())
	}
}

// impatient has dray give up soon on a host that does not answer.
func impatient(t *testing.T, w *world.World) {
	t.Helper()
	config, err := os.ReadFile(w.Lab.SSHConfig)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ssh_config")
	if err := os.WriteFile(path, append(config, "\nHost *\n  ConnectTimeout 2\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Env = append(w.Env, "DRAY_SSH_CONFIG="+path)
}

// watching runs dray beside the test. stop interrupts it, which must be its
// good end.
func watching(t *testing.T, w *world.World, args ...string) (out *buffer, stop func()) {
	t.Helper()
	out = &buffer{}
	cmd := w.Command(t.Context(), args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() {
		t.Helper()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v ended with %v:\n%s", args, err, out.String())
		}
	}
}

// lastLine waits until the last line that was written matches.
func lastLine(t *testing.T, out *buffer, pattern string) {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	eventually(t, time.Minute, pattern, func() error {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if wanted.MatchString(lines[len(lines)-1]) {
			return nil
		}
		return errors.New(out.String())
	})
}
