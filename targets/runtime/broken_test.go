package runtime_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dray/targets/runtime"
)

// spoil replaces a file, and returns what puts it back.
func spoil(t *testing.T, path string, how func() error) (restore func()) {
	t.Helper()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), how()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, was, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnreadableIsNotAbsent starts an agent over containers whose files can't
// be read: they run on, are shown as broken, keep their files, and are taken up
// once they can be read. The one beside them is found.
func TestUnreadableIsNotAbsent(t *testing.T) {
	for name, harm := range map[string]struct {
		file string
		how  func(path string) error
	}{
		"the state is a folder": {"state.json", func(path string) error { return os.Mkdir(path, 0o700) }},
		"the state is cut":      {"state.json", func(path string) error { return os.WriteFile(path, []byte(`{"id`), 0o600) }},
		"a field of the state is of another type": {"state.json", func(path string) error {
			return os.WriteFile(path, []byte(`{"state":{"name":"running"}}`), 0o600)
		}},
		"the specification is cut": {"spec.json", func(path string) error { return os.WriteFile(path, []byte(`{`), 0o600) }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			harmed, other := h.run(t, sh("harmed", "sleep 600")), h.run(t, sh("other", "sleep 600"))
			foreign := filepath.Join(h.config.Root, "lost+found")
			if err := os.Mkdir(foreign, 0o700); err != nil {
				t.Fatal(err)
			}
			h.stop()
			path := filepath.Join(h.config.Root, harmed.ID, harm.file)
			restore := spoil(t, path, func() error { return harm.how(path) })
			h.boot(t)
			if !alive(harmed.Pid) {
				t.Fatal("its process was killed")
			}
			c, err := h.Get(harmed.ID)
			if err != nil || c.State != runtime.Broken || c.Error == "" {
				t.Errorf("it is %+v, %v; want it broken, with the reason", c, err)
			}
			if err := h.Start(t.Context(), harmed.ID); !errors.Is(err, runtime.ErrState) {
				t.Errorf("starting it: %v", err)
			}
			if err := h.Stop(t.Context(), harmed.ID, nil); !errors.Is(err, runtime.ErrState) {
				t.Errorf("stopping it: %v", err)
			}
			if c, err := h.Get("other"); err != nil || c.State != runtime.Running || c.Pid != other.Pid {
				t.Errorf("the one beside it: %+v, %v", c, err)
			}
			if _, err := os.Stat(foreign); err != nil {
				t.Errorf("a folder that is none of a container: %v", err)
			}
			restore()
			h.RecoverBroken(t.Context())
			if c, err := h.Get("harmed"); err != nil || c.State != runtime.Running || c.Pid != harmed.Pid {
				t.Errorf("once it can be read: %+v, %v", c, err)
			}
			if out, code := h.exec(t, harmed.ID, runtime.ExecConfig{Command: []string{"echo", "hi"}}); out != "hi\n" || code != 0 {
				t.Errorf("exec: %q, %d", out, code)
			}
		})
	}
}

// TestStuckKeepsNobodyDown starts an agent over a container that can't be
// cleared away, as one with a process that is stuck in the kernel.
func TestStuckKeepsNobodyDown(t *testing.T) {
	h := newHost(t)
	stuck, other := h.run(t, sh("stuck", "true")), h.run(t, sh("other", "sleep 600"))
	h.wait(t, stuck.ID)
	h.stop()
	real := h.config.OCI
	h.config.OCI = filepath.Join(t.TempDir(), "oci")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *delete*) echo 'container init still running' >&2; exit 1;; esac\nexec %s \"$@\"\n", real)
	if err := os.WriteFile(h.config.OCI, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(h.config.RunDir), "oci", stuck.ID)
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	h.boot(t)
	if c, err := h.Get("other"); err != nil || c.State != runtime.Running || c.Pid != other.Pid {
		t.Errorf("the one beside it: %+v, %v", c, err)
	}
	if c, err := h.Get("stuck"); err != nil || c.State != runtime.Exited {
		t.Errorf("the stuck one: %+v, %v", c, err)
	}
	if err := h.Start(t.Context(), "stuck"); err == nil {
		t.Error("it was started over what is left of it")
	}
	h.stop()
	h.config.OCI = real
	if err := os.Remove(left); err != nil {
		t.Fatal(err)
	}
	h.boot(t)
	if err := h.Start(t.Context(), "stuck"); err != nil {
		t.Errorf("once nothing is stuck: %v", err)
	}
}
