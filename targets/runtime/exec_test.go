package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/runtime"
)

func TestExec(t *testing.T) {
	h := newHost(t)
	spec := sh("exec", "sleep 60")
	spec.Env = []string{"OWN=container"}
	c := h.run(t, spec)
	out, code := h.exec(t, c.ID, runtime.ExecConfig{
		Command: []string{"sh", "-c", "id; pwd; echo $OWN $MORE $HOME; echo err >&2; hostname; grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; exit 9"},
		User:    "app", WorkDir: "/tmp", Env: []string{"MORE=yes"},
	})
	if code != 9 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"uid=1000(app)", "/tmp\n", "container yes /home/app", "err\n", c.ID[:12], "Seccomp:\t2", "NoNewPrivs:\t1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(h.output(t, c.ID), "err") {
		t.Error("an exec's output is in the container's log")
	}
	var said bytes.Buffer
	code, err := h.Exec(t.Context(), c.ID, runtime.ExecConfig{Command: []string{"nothing-here"}}, runtime.Streams{Stderr: &said})
	if code != 127 || err == nil || !strings.Contains(err.Error(), "nothing-here") || said.Len() > 0 {
		t.Errorf("a missing command: code %d, %v; on its stderr: %q", code, err, said.String())
	}
}

func TestExecStdin(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("filter", "sleep 60"))
	big := strings.Repeat("0123456789abcdef", 40_000)
	var out bytes.Buffer
	code, err := h.Exec(t.Context(), c.ID, runtime.ExecConfig{Command: []string{"cat"}, Stdin: true},
		runtime.Streams{Stdin: strings.NewReader(big), Stdout: &out})
	if err != nil || code != 0 || out.String() != big {
		t.Errorf("%d bytes of %d came back; code %d, %v", out.Len(), len(big), code, err)
	}
}

func TestExecTerminal(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("terminal", "sleep 60"))
	id, err := h.ExecCreate(c.ID, runtime.ExecConfig{Command: []string{"sh"}, TTY: true, Stdin: true})
	if err != nil {
		t.Fatal(err)
	}
	screen := newScreen()
	input, keys := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- h.ExecStart(t.Context(), id, runtime.Streams{Stdin: input, Stdout: screen}) }()
	screen.await(t, "# ")
	if err := h.ExecResize(id, 33, 77); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(keys, "tty; stty size; echo $TERM; exit 4")
	screen.await(t, "/dev/pts/0")
	screen.await(t, "33 77")
	screen.await(t, "xterm")
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = keys.Close()
	x, err := h.ExecInspect(id)
	if err != nil || x.Running || x.ExitCode != 4 {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestExecEndsWithItsContext(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("slow", "sleep 60"))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := h.Exec(ctx, c.ID, runtime.ExecConfig{Command: []string{"sleep", "60"}}, runtime.Streams{Stdout: io.Discard})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		processes, err := h.Top(c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(processes) == 1 {
			return
		}
	}
	t.Error("the process of an exec that was given up lives on")
}

// TestExecTakesAllItStartedWithIt: neither a check whose time is over nor one
// that ends leaves anything in its container.
func TestExecTakesAllItStartedWithIt(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("checked", "sleep 60"))
	for name, script := range map[string]string{
		"its time is over": "sleep 61 & sleep 62 & sleep 63",
		"it has ended":     "sleep 61 >/dev/null 2>&1 & true",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, _ = h.Exec(ctx, c.ID, runtime.ExecConfig{Command: []string{"sh", "-c", script}}, runtime.Streams{Stdout: io.Discard})
		cancel()
		deadline := time.Now().Add(10 * time.Second)
		for {
			processes, err := h.Top(c.ID)
			if err != nil {
				t.Fatal(err)
			}
			if len(processes) == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d processes are left: %+v", name, len(processes)-1, processes)
			}
		}
	}
}

// TestExecInAFullContainer: a command runs in a container that has as many
// processes as it may have, or the error names the limit. Version 2 of cgroups
// counts a process before it is there, version 1 lets it join.
func TestExecInAFullContainer(t *testing.T) {
	h := newHost(t)
	spec := sh("full", "i=0; while [ $i -lt 17 ]; do sleep 60 & i=$((i+1)); done; echo ready; exec sleep 60")
	spec.Resources = pipeline.Resources{Pids: 18}
	c := h.run(t, spec)
	h.awaitLine(t, c.ID, "ready")
	code, err := h.Exec(t.Context(), c.ID, runtime.ExecConfig{Command: []string{"true"}}, runtime.Streams{})
	if err == nil && code == 0 {
		return
	}
	if err == nil || !strings.Contains(err.Error(), "of 18 processes that it may have (pids in its resources block)") {
		t.Errorf("code %d: %v", code, err)
	}
}

func TestAttach(t *testing.T) {
	h := newHost(t)
	spec := sh("attached", "read line; echo got $line; echo err >&2; cat; echo end")
	spec.OpenStdin = true
	c, err := h.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	input, keys := io.Pipe()
	var out, failures bytes.Buffer
	done, ready := make(chan error, 1), make(chan struct{})
	go func() {
		done <- h.Attach(t.Context(), c.ID, runtime.Streams{Stdin: input, Stdout: &out, Stderr: &failures}, func() { close(ready) })
	}()
	<-ready
	if err := h.Start(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(keys, "hello")
	fmt.Fprintln(keys, "more")
	_ = keys.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if out.String() != "got hello\nmore\nend\n" || failures.String() != "err\n" {
		t.Errorf("stdout %q, stderr %q", out.String(), failures.String())
	}
	h.wait(t, c.ID)
	if log := h.output(t, c.ID); !strings.Contains(log, "got hello\n") {
		t.Errorf("log: %q", log)
	}
}

func TestTerminal(t *testing.T) {
	h := newHost(t)
	spec := runtime.Spec{Name: "tty", Image: "sha256:busybox", Command: []string{"sh"}, TTY: true, OpenStdin: true}
	c, err := h.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	screen := newScreen()
	input, keys := io.Pipe()
	done, ready := make(chan error, 1), make(chan struct{})
	go func() {
		done <- h.Attach(t.Context(), c.ID, runtime.Streams{Stdin: input, Stdout: screen}, func() { close(ready) })
	}()
	<-ready
	if err := h.Resize(c.ID, 40, 100); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	screen.await(t, "# ")
	fmt.Fprintln(keys, "stty size; exit 6")
	screen.await(t, "40 100")
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = keys.Close()
	if c := h.wait(t, c.ID); c.ExitCode != 6 {
		t.Errorf("exit code %d", c.ExitCode)
	}
}

// A screen collects what a terminal shows.
type screen struct {
	mu      sync.Mutex
	text    string
	changed chan struct{}
}

func newScreen() *screen { return &screen{changed: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.text += string(p)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *screen) await(t *testing.T, want string) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		text := s.text
		s.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-s.changed:
		case <-late:
			t.Fatalf("no %q on the screen:\n%s", want, text)
		}
	}
}
