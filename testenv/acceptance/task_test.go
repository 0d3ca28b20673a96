package acceptance

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dray/testenv"
	"dray/testenv/world"
)

const tasksFile = `
variable "code" { default = "0" }
task "migrate" {
  image      = target.web
  entrypoint = ["sh", "-c"]
  command    = ["echo migrating to $VERSION; echo slowly >&2; exit ${var.code}"]
  hook       = "pre-deploy"
}
task "gate" {
  image      = target.web
  entrypoint = ["sh", "-c"]
  command    = ["echo waiting; until [ -e /gate/open ]; do sleep 0.1; done; rm /gate/open; echo going on; exit 4"]
  volume "gate" { destination = "/gate" }
}
task "minutely" {
  image      = target.web
  entrypoint = ["echo"]
  command    = ["a minute has passed"]
  schedule   = "* * * * *"
}
`

// openGate lets the task gate go on.
func openGate(t *testing.T, w *world.World) {
	t.Helper()
	if _, err := w.Lab.Host("d1").Exec(t.Context(), "touch", "/var/lib/dray/volumes/shop-dev/gate/open"); err != nil {
		t.Fatal(err)
	}
}

// TestTaskLogs reads what runs of tasks have written: of rollouts, of the
// schedule and by hand; ended, under way, failed, and after the agent's death.
func TestTaskLogs(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"d1"}})
	w.App(t, "dev: d1")
	w.Replace(t, "Dockerfile", "FROM scratch", "FROM busybox")
	w.Write(t, map[string]string{"tasks.dray.hcl": tasksFile})
	w.Dray(t, 0, "deploy", "dev")
	w.Dray(t, 0, "deploy", "dev", "--var", "version=2")

	r := w.Dray(t, 0, "logs", "dev", "migrate")
	if r.Stdout != "migrating to 2\n" {
		t.Errorf("the newest run: %s", r)
	}
	says(t, r, "slowly", "release 2", "by the rollout of ", "exit code 0")
	if r := w.Dray(t, 0, "logs", "dev", "migrate", "--release", "1"); r.Stdout != "migrating to 1\n" {
		t.Errorf("the run of release 1: %s", r)
	}
	list := w.Dray(t, 0, "task", "list", "dev").Stdout
	first := runNumber(t, list, "migrate", "1")
	tasks := typed[struct {
		Name string
		Runs []struct{ Host string }
	}](t, w.Dray(t, 0, "task", "list", "dev", "--json"), "task.list")
	if len(tasks) != 3 || tasks[1].Name != "migrate" || len(tasks[1].Runs) != 2 || tasks[1].Runs[0].Host != "d1" {
		t.Errorf("the list as JSON: %+v", tasks)
	}
	lines := typed[struct{ Time, Host, Subject, Stream, Text string }](t, w.Dray(t, 0, "logs", "dev", "migrate", "--json"), "output")
	if len(lines) != 2 || lines[0].Time == "" || lines[0].Host != "d1" || lines[0].Subject != "task migrate" || lines[0].Stream+lines[1].Stream != "stdoutstderr" && lines[0].Stream+lines[1].Stream != "stderrstdout" {
		t.Errorf("the log as JSON: %+v", lines)
	}
	if r := w.Dray(t, 0, "logs", "dev", "migrate", "--run", first, "-t"); !strings.HasSuffix(r.Stdout, "Z migrating to 1\n") {
		t.Errorf("run %s: %s", first, r)
	}
	says(t, w.Dray(t, 1, "logs", "dev", "migrate", "--run", "999"), "no run 999", "dray task list dev")
	says(t, w.Dray(t, 1, "task", "run", "dev", "migrat"), `no task "migrat" in what dev runs`, `Did you mean "migrate"?`, "Next: dray task run dev migrate")

	t.Run("of a release that failed", func(t *testing.T) {
		r := w.Dray(t, 1, "deploy", "dev", "--var", "version=3", "--var", "code=7")
		says(t, r, "exit code 7", "dray logs dev migrate")
		r = w.Dray(t, 0, "logs", "dev", "migrate")
		if r.Stdout != "migrating to 3\n" {
			t.Errorf("%s", r)
		}
		says(t, r, "exit code 7")
	})
	t.Run("while it runs", func(t *testing.T) { followTask(t, w) })
	for name, signal := range map[string]unix.Signal{"killed": unix.SIGKILL, "replaced": unix.SIGTERM} {
		t.Run("while the agent is "+name, func(t *testing.T) { taskThrough(t, w, signal) })
	}
	t.Run("of the schedule", func(t *testing.T) {
		eventually(t, 90*time.Second, "a run by the schedule", func() error {
			r := w.Run(t.Context(), "logs", "dev", "minutely")
			if r.Stdout != "a minute has passed\n" || !strings.Contains(r.Stderr, "by its schedule") {
				return errors.New(r.String())
			}
			return nil
		})
	})
}

// taskThrough ends the agent in the middle of a run, which goes on: its watcher
// has its whole output, once, and its exit code.
func taskThrough(t *testing.T, w *world.World, signal unix.Signal) {
	run := w.Command(t.Context(), "task", "run", "dev", "gate")
	var seen buffer
	run.Stdout = &seen
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the run", func() error { return wrote(w, t, "waiting\n", "is running") })
	if err := signalAgent(w.Lab.Host("d1"), signal); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the run under another agent", func() error { return wrote(w, t, "waiting\n", "is running") })
	openGate(t, w)
	_ = run.Wait() // looked at below
	if code := run.ProcessState.ExitCode(); code != 4 || seen.String() != "waiting\ngoing on\n" {
		t.Errorf("dray task run ended with %d and printed %q, want the whole run, once", code, seen.String())
	}
	if err := wrote(w, t, "waiting\ngoing on\n", "exit code 4"); err != nil {
		t.Error(err)
	}
}

// followTask follows a run from before its end to it.
func followTask(t *testing.T, w *world.World) {
	run := w.Command(t.Context(), "task", "run", "dev", "gate")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the run", func() error { return wrote(w, t, "waiting\n", "is running") })
	var seen buffer
	follow := w.Command(t.Context(), "logs", "dev", "gate", "-f")
	follow.Stdout, follow.Stderr = &seen, &seen
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the first line", func() error {
		if !strings.Contains(seen.String(), "waiting") {
			return errors.New(seen.String())
		}
		return nil
	})
	openGate(t, w)
	if err := follow.Wait(); err != nil || !strings.Contains(seen.String(), "going on") {
		t.Errorf("following ended with %v: %s", err, seen.String())
	}
	_ = run.Wait() // looked at below
	if code := run.ProcessState.ExitCode(); code != 4 {
		t.Errorf("dray task run ended with %d", code)
	}
	if err := wrote(w, t, "waiting\ngoing on\n", "exit code 4"); err != nil {
		t.Error(err)
	}
}

// wrote looks what the newest run of gate has written.
func wrote(w *world.World, t *testing.T, out, note string) error {
	r := w.Run(t.Context(), "logs", "dev", "gate")
	if r.Stdout != out || !strings.Contains(r.Stderr, note) {
		return errors.New(r.String())
	}
	return nil
}

// runNumber finds the number of a task's run for a release in a list of tasks.
func runNumber(t *testing.T, list, task, release string) string {
	t.Helper()
	for line := range strings.Lines(list) {
		f := strings.Fields(line) // TASK NEXT RUN DATE TIME RELEASE …
		if len(f) > 5 && f[0] == task && f[5] == release {
			return f[2]
		}
	}
	t.Fatalf("no run of %s for release %s:\n%s", task, release, list)
	return ""
}

// buffer takes what a program writes while the test reads it.
type buffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
