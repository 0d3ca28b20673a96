package runtime_test

import (
	"strconv"
	"strings"
	"testing"

	"dray/pipeline"
	"dray/targets/runtime"

	"golang.org/x/sys/unix"
)

// patient is a program that says how it ended, as a database does.
const patient = `grep SigIgn /proc/self/status; trap 'echo ended in order; exit 0' TERM; echo up; while :; do sleep 0.1; done`

// TestHalt: what the end of the host asks everybody to do ends no shim, and a
// container that was stopped because of it runs again afterwards.
func TestHalt(t *testing.T) {
	h := newHost(t)
	spec := sh("patient", patient)
	spec.Restart.Policy = pipeline.RestartOnFailure
	c := h.run(t, spec)
	h.awaitLine(t, c.ID, "up")
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPWR} {
		if err := unix.Kill(shimOf(t, c), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Halt(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	ended, err := h.Get(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if ended.State != runtime.Exited || ended.ExitCode != 0 || !ended.Wanted || !ended.Halted || !ended.RunsAgain() {
		t.Errorf("after a shutdown it is %+v", ended)
	}
	out := h.output(t, c.ID)
	if !strings.Contains(out, "ended in order") {
		t.Errorf("its output: %q", out)
	}
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPWR} {
		if ignored(t, out)&(1<<(s-1)) != 0 {
			t.Errorf("it ignores %v, as the shim does: %q", s, out)
		}
	}
	h.restart(t) // the next boot reads it from disk
	if err := h.StartWanted(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	again, err := h.Get(c.ID)
	if err != nil || again.State != runtime.Running || again.Halted {
		t.Errorf("after the boot it is %+v (%v)", again, err)
	}
}

// ignored reads the set of ignored signals in a process's status (proc_pid_status(5)).
// What started the tests may have put signals there that are the C library's own.
func ignored(t *testing.T, status string) uint64 {
	t.Helper()
	_, rest, _ := strings.Cut(status, "SigIgn:\t")
	word, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(word, 16, 64)
	if err != nil {
		t.Fatalf("its output: %q: %v", status, err)
	}
	return set
}

// TestHaltOfWhatIsStopped leaves a container that somebody has stopped as it is.
func TestHaltOfWhatIsStopped(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("stopped", patient))
	h.awaitLine(t, c.ID, "up")
	if err := h.Stop(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Halt(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if c, err := h.Get(c.ID); err != nil || c.Halted || c.RunsAgain() {
		t.Errorf("it is %+v (%v)", c, err)
	}
}

func TestRunsAgain(t *testing.T) {
	ended := func(policy string, code int) runtime.Container {
		return runtime.Container{State: runtime.Exited, Wanted: true, ExitCode: code, Spec: runtime.Spec{Restart: pipeline.Restart{Policy: policy}}}
	}
	halted := ended(pipeline.RestartOnFailure, 0)
	halted.Halted = true
	unwanted := ended(pipeline.RestartAlways, 1)
	unwanted.Wanted = false
	runs := ended(pipeline.RestartAlways, 0)
	runs.State = runtime.Running
	for _, x := range []struct {
		name string
		c    runtime.Container
		want bool
	}{
		{"always", ended(pipeline.RestartAlways, 0), true},
		{"failed", ended(pipeline.RestartOnFailure, 1), true},
		{"succeeded", ended(pipeline.RestartOnFailure, 0), false},
		{"ended by the shutdown", halted, true},
		{"never", ended(pipeline.RestartNever, 1), false},
		{"stopped", unwanted, false},
		{"running", runs, false},
	} {
		if got := x.c.RunsAgain(); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
}
