package acceptance

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/console"

	"dray/testenv"
	"dray/testenv/world"
)

// record is one line of dray history --json.
type record struct {
	Deployment   string   `json:"deployment"`
	Kind         string   `json:"kind"`
	Release      int      `json:"release"`
	Revision     int      `json:"revision"`
	From         int      `json:"from"`
	FromRevision int      `json:"from_revision"`
	Hosts        []string `json:"hosts"`
}

func history(t *testing.T, w *world.World, env string) []record {
	t.Helper()
	return typed[record](t, w.Dray(t, 0, "history", env, "--json"), "history")
}

// TestDown takes an environment down, which asks first, and brings it again:
// its history and the count of its releases go on.
func TestDown(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"p1", "p2"}})
	w.App(t, "prod: p1 p2")
	w.Replace(t, "dray.hcl", "  resources {", "  volume \"data\" { destination = \"/data\" }\n  resources {")
	w.Dray(t, 0, "deploy", "prod")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=2")

	locksAndUnlocks(t, w)
	says(t, w.Dray(t, 5, "down", "prod"), "dray down prod --yes", "prod is untouched")
	serves(t, w, "p1", "2")
	if code, said := typing(t, w, "test\nno\n", "down", "prod"); code != 5 || !strings.Contains(said, "you said no at the terminal") || !strings.Contains(said, "web (2 instances)") || !strings.Contains(said, "These volumes stay: p1:data, p2:data.") {
		t.Errorf("the name of another environment: exit %d, %s", code, said)
	}
	serves(t, w, "p1", "2")
	if code, said := typing(t, w, "prod\n", "down", "prod"); code != 0 || !strings.Contains(said, "release 2 and 1") || !strings.Contains(said, "prod is gone from p1 and p2") {
		t.Errorf("its name: exit %d, %s", code, said)
	}
	if _, err := get("http://" + w.Lab.Host("p1").Addr + "/up"); err == nil {
		t.Error("prod still answers")
	}

	lines := history(t, w, "prod")
	if len(lines) != 3 || lines[0].Kind != "down" || lines[0].From != 2 || !slices.Equal(lines[0].Hosts, []string{"p1", "p2"}) {
		t.Errorf("history: %+v", lines)
	}
	says(t, w.Dray(t, 5, "rollback", "prod"), "runs nothing")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
	serves(t, w, "p2", "2")
	if s := w.Status(t)["prod"]; s.Release != 3 || len(s.Notes) > 0 {
		t.Errorf("after it was brought again: %+v", s)
	}
	lines = history(t, w, "prod")
	if len(lines) != 4 || lines[0].Release != 3 || lines[0].From != 0 || lines[3].Release != 1 {
		t.Errorf("history: %+v", lines)
	}
	if table := w.Dray(t, 0, "history", "prod").Stdout; !strings.Contains(table, "2 → -") {
		t.Errorf("the table does not tell what went down:\n%s", table)
	}
	changesInJSON(t, w)
	leavesAHost(t, w)
	r := w.Dray(t, 0, "down", "prod", "--volumes", "--yes", "--json")
	if done := typed[struct{ Text string }](t, r, "run.finished"); len(done) != 1 || !strings.Contains(done[0].Text, "Deleted volumes: p1:data, p2:data.") {
		t.Errorf("%s", r)
	}
}

// locksAndUnlocks replaces a lock only on request, and says what it replaces.
func locksAndUnlocks(t *testing.T, w *world.World) {
	t.Helper()
	for _, step := range []struct {
		args string
		code int
		says string
	}{
		{"unlock prod", 0, "prod was not locked."},
		{"lock prod --reason sale --for 1h", 0, ": sale."},
		{"lock prod --reason sale --for 2h", 0, "'s lock until "},
		{"lock prod --reason audit --replace", 0, "prod takes no deployment until dray unlock prod: audit. It replaces "},
		{"lock prod --reason sale", 5, ": audit\n  That lock stays as it is.\n  Next: dray lock prod --reason \"sale\" --replace"},
		{"unlock prod", 0, "prod takes deployments again."},
	} {
		if r := w.Dray(t, step.code, strings.Fields(step.args)...); !strings.Contains(r.Stdout+r.Stderr, step.says) {
			t.Errorf("it does not say %q: %s", step.says, r)
		}
	}
}

// leavesAHost takes p2 out of prod, and puts it back in the end: what p2 still
// runs is told by plan, deploy and status until it is taken down there.
func leavesAHost(t *testing.T, w *world.World) {
	const note = "p2 is no host of prod any more, by the file, and still runs web/2 of release 4: dray down prod --host p2 removes it"
	shows := func(r world.Result, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(r.Stdout, text) {
				t.Errorf("it does not show %q: %s", text, r)
			}
		}
	}
	w.Replace(t, "dray.hcl", "hosts = [host.p1, host.p2]", "hosts = [host.p1]")
	shows(w.Dray(t, 2, "plan", "prod", "--var", "version=4"), note)
	for range 2 { // also when p1's current release does not name p2
		shows(w.Dray(t, 0, "deploy", "prod", "--var", "version=4"), note)
		shows(w.Dray(t, 0, "status"), "! prod  "+note)
	}
	serves(t, w, "p2", "4")
	shows(w.Dray(t, 0, "down", "prod", "--host", "p2", "--yes"), "prod is gone from p2: ", "Kept volumes: p2:data.")
	if _, err := get("http://" + w.Lab.Host("p2").Addr + "/up"); err == nil {
		t.Error("p2 still answers")
	}
	if s := w.Status(t)["prod"]; s.Release != 5 || s.Services["web"] != "2/2 healthy" || len(s.Notes) > 0 {
		t.Errorf("after it has left: %+v", s)
	}
	w.Replace(t, "dray.hcl", "hosts = [host.p1]", "hosts = [host.p1, host.p2]")
	w.Dray(t, 0, "deploy", "prod", "--var", "version=4") // web stays where its volumes are
}

// typing runs dray at a terminal and types an answer to its question. It
// returns what dray said.
func typing(t *testing.T, w *world.World, answer string, args ...string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	seen, pty, end := atTerminal(t, w, &out, args...)
	eventually(t, 30*time.Second, "the question", func() error {
		if !strings.Contains(seen.String(), "to go on: ") && !strings.Contains(seen.String(), "to go back: ") {
			return errors.New(seen.String())
		}
		return nil
	})
	if _, err := io.WriteString(pty, answer); err != nil {
		t.Fatal(err)
	}
	code = end()
	return code, seen.String() + out.String()
}

// atTerminal runs dray at a terminal of its own, but for its results where out
// is not nil. seen is the screen, pty the keyboard; end waits for the end of
// dray and returns its exit code.
func atTerminal(t *testing.T, w *world.World, out io.Writer, args ...string) (seen *buffer, pty console.Console, end func() int) {
	t.Helper()
	pty, path, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pty.Close() })
	tty, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen = &buffer{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(seen, pty) // ends with an error once nobody has the terminal
	}()
	cmd := w.Command(t.Context(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Env = append(cmd.Env, "TERM=xterm", "CI=")
	if out != nil {
		cmd.Stdout = out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = tty.Close() // dray has its own
	if err != nil {
		t.Fatal(err)
	}
	return seen, pty, func() int {
		t.Helper()
		bound := time.AfterFunc(time.Minute, func() {
			t.Errorf("dray %v does not end: %q", args, seen.String())
			_ = cmd.Process.Kill()
		})
		defer bound.Stop()
		_ = cmd.Wait() // its code is what the caller looks at
		<-read
		return cmd.ProcessState.ExitCode()
	}
}
