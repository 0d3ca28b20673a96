//go:build linux

package ssh

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dray/deploy/bundle"
	"dray/pipeline/event"
	"dray/targets/connect"
)

func TestInstallFails(t *testing.T) {
	good := bundleOf(t, "one")
	setup := func(t testing.TB, o Options, b *bundle.Bundle, kind, words string) {
		t.Helper()
		_, err := Connect(t.Context(), mustDial(t, o), finds(b), ConnectOptions{}, event.Discard)
		var fault *SetupError
		if !errors.As(err, &fault) || fault.Kind != kind || !strings.Contains(fault.Detail+fault.Next, words) {
			t.Errorf("Connect: %v, want %s with %q", err, kind, words)
			return
		}
		t.Log(fault, "→", fault.Next)
	}
	t.Run("no sudo", func(t *testing.T) {
		cleanHost(t)
		_, o := ready(t, "guest")
		setup(t, o, good, SetupRoot, "guest ALL=(root) NOPASSWD: ALL")
		if err := Install(t, good); err != nil {
			t.Fatal(err)
		}
		setup(t, o, good, SetupRoot, "guest ALL=(root) NOPASSWD: ALL")
	})
	t.Run("sudo at a terminal only", func(t *testing.T) {
		cleanHost(t)
		replaced(t, "/etc/sudoers.d/dray-test", "deploy ALL=(root) NOPASSWD: ALL\nDefaults:deploy requiretty\n")
		_, o := ready(t, "deploy")
		setup(t, o, good, SetupRoot, "requiretty")
		setup(t, o, good, SetupRoot, "Defaults:deploy !requiretty")
		if err := Install(t, good); err != nil {
			t.Fatal(err)
		}
		setup(t, o, good, SetupRoot, "Defaults:deploy !requiretty")
	})
	t.Run("no bundle", func(t *testing.T) {
		cleanHost(t)
		_, o := ready(t, "root")
		setup(t, o, nil, SetupBundle, "linux/amd64")
	})
	t.Run("damaged", func(t *testing.T) {
		cleanHost(t)
		_, o := ready(t, "root")
		bad := *good
		bad.Archive = "sha256:" + strings.Repeat("0", 64)
		setup(t, o, &bad, SetupDamage, "thrown away")
		bad = *good
		bad.Digest = "sha256:" + strings.Repeat("1", 64)
		setup(t, o, &bad, SetupAgent, "digest")
		if left, _ := filepath.Glob("/var/lib/dray/bin/[.0-9]*/*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("sudo remarks, and does it", func(t *testing.T) {
		cleanHost(t)
		// The host's own name does not resolve, and sudo says so each time.
		replaced(t, "/etc/nsswitch.conf", "hosts: files\n")
		replaced(t, "/etc/hosts", "127.0.0.1 localhost\n")
		_, o := ready(t, "deploy")
		bad := *good
		bad.Digest = "sha256:" + strings.Repeat("1", 64)
		setup(t, o, &bad, SetupAgent, "digest")
	})
	t.Run("noexec", func(t *testing.T) {
		cleanHost(t)
		_, o := ready(t, "root")
		mount(t, "noexec", "")
		setup(t, o, good, SetupNoExec, "noexec")
	})
	t.Run("disk full", func(t *testing.T) {
		cleanHost(t)
		_, o := ready(t, "root")
		mount(t, "", "size=2m")
		setup(t, o, good, SetupSpace, "make room")
	})
}

// replaced gives a file of the test's own /etc another text until the test ends.
func replaced(t testing.TB, path, text string) {
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, before, 0o644); err != nil {
			t.Error(err)
		}
	})
}

// Install brings a bundle by hand.
func Install(t testing.TB, b *bundle.Bundle) error {
	s, err := Connect(t.Context(), Local("local"), finds(b), ConnectOptions{}, event.Discard)
	if err != nil {
		return err
	}
	return s.Close()
}

// mount puts a small file system over /var/lib/dray.
func mount(t testing.TB, flag, data string) {
	t.Helper()
	if err := os.MkdirAll("/var/lib/dray", 0o711); err != nil {
		t.Fatal(err)
	}
	flags := uintptr(0)
	if flag == "noexec" {
		flags = syscall.MS_NOEXEC
	}
	if err := syscall.Mount("tmpfs", "/var/lib/dray", "tmpfs", flags, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount("/var/lib/dray", syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestLookChangesNothing looks at a host without drayd, and at one with
// another bundle.
func TestLookChangesNothing(t *testing.T) {
	cleanHost(t)
	_, o := ready(t, "deploy")
	one, two := bundleOf(t, "one"), bundleOf(t, "two")
	look := func() (*Session, error) {
		return Connect(t.Context(), mustDial(t, o), finds(two), ConnectOptions{Look: true}, event.Func(func(e event.Event) {
			t.Errorf("something happens: %+v", e)
		}))
	}
	if _, err := look(); !errors.Is(err, ErrAbsent) {
		t.Errorf("looking at a host without drayd: %v", err)
	}
	if left, _ := filepath.Glob("/var/lib/dray/*"); len(left) > 0 {
		t.Errorf("made there: %v", left)
	}
	before := agentOf(t, mustConnect(t, o, finds(one)))
	installed, _ := filepath.Glob("/var/lib/dray/bin/*")
	s, err := look()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if after := agentOf(t, s); s.Hello.Bundle != one.Digest || after.ID != before.ID {
		t.Errorf("the agent was replaced: %+v, agent %+v", s.Hello, after)
	}
	if now, _ := filepath.Glob("/var/lib/dray/bin/*"); !slices.Equal(now, installed) {
		t.Errorf("installed: %v, before %v", now, installed)
	}

	if err := connect.Service(t.Context(), "stop"); err != nil {
		t.Fatal(err)
	}
	var fault *SetupError
	if _, err := look(); !errors.As(err, &fault) || !strings.Contains(fault.Next, "dray host setup p1") {
		t.Errorf("looking at a host whose agent is down: %v", err)
	}
	if conn, err := net.Dial("unix", "/run/dray/agent.sock"); err == nil {
		_ = conn.Close()
		t.Error("a look started the agent")
	}
	agentOf(t, mustConnect(t, o, finds(one)))
}

// TestNoisyShell has a host whose shell greets everybody.
func TestNoisyShell(t *testing.T) {
	cleanHost(t)
	_, o := ready(t, "root", `ForceCommand echo "Welcome!"; echo; eval "$SSH_ORIGINAL_COMMAND"`)
	agentOf(t, mustConnect(t, o, finds(bundleOf(t, "one"))))
	_, o = ready(t, "root", `ForceCommand printf "]0;p1"; eval "$SSH_ORIGINAL_COMMAND"`) // a terminal's title has no line end
	agentOf(t, mustConnect(t, o, finds(bundleOf(t, "one"))))
	_, o = ready(t, "root", `ForceCommand echo "This account is closed."; exit 1`)
	_, err := Connect(t.Context(), mustDial(t, o), finds(nil), ConnectOptions{}, event.Discard)
	if err == nil || !strings.Contains(err.Error(), "This account is closed.") {
		t.Errorf("Connect: %v", err)
	}
}
