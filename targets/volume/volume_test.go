package volume

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, users func(string) []string) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "volumes"), users)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLife(t *testing.T) {
	var users []string
	s := open(t, func(string) []string { return users })
	path, err := s.Ensure(t.Context(), "shop-prod", "data")
	must(t, err)
	again, err := s.Ensure(t.Context(), "shop-prod", "data")
	if again != path || err != nil {
		t.Errorf("again: %s, %v", again, err)
	}
	must(t, os.WriteFile(filepath.Join(path, "f"), make([]byte, 100_000), 0o644))
	_, err = s.Ensure(t.Context(), "shop-test", "data")
	must(t, err)
	if names, err := s.List("shop-prod"); !slices.Equal(names, []string{"data"}) || err != nil {
		t.Errorf("list: %v, %v", names, err)
	}
	if all, err := s.All(); len(all) != 2 || all[0].Network != "shop-prod" || all[0].Path != path || all[0].Created.IsZero() || err != nil {
		t.Errorf("all: %+v, %v", all, err)
	}
	if n, err := s.Usage(t.Context(), "shop-prod", "data"); n < 100_000 || n > 200_000 || err != nil {
		t.Errorf("usage %d, %v", n, err)
	}
	users = []string{"shop-prod-db-1.r3"}
	if err := s.Remove(t.Context(), "shop-prod", "data"); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), users[0]) {
		t.Errorf("removing one in use: %v", err)
	}
	users = nil
	must(t, s.Remove(t.Context(), "shop-prod", "data"))
	must(t, s.Remove(t.Context(), "shop-prod", "data"))
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the environment's folder: %v", err)
	}
}

func TestNames(t *testing.T) {
	s := open(t, nil)
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".hidden", "-rf", "a\x00b", strings.Repeat("a", 129)} {
		if _, err := s.Ensure(t.Context(), "shop-prod", name); !errors.Is(err, ErrName) {
			t.Errorf("%q as a name: %v", name, err)
		}
		if _, err := s.Ensure(t.Context(), name, "data"); !errors.Is(err, ErrName) {
			t.Errorf("%q as a network: %v", name, err)
		}
		if err := s.Remove(t.Context(), name, "data"); !errors.Is(err, ErrName) {
			t.Errorf("removing from %q: %v", name, err)
		}
	}
}

// TestPopulate copies what the image has, as it is.
func TestPopulate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files to other users needs root")
	}
	rootfs := t.TempDir()
	data := filepath.Join(rootfs, "var/lib/db")
	must(t, os.MkdirAll(filepath.Join(data, "sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(data, "sub/f"), []byte("hello"), 0o640))
	must(t, os.Symlink("sub/f", filepath.Join(data, "link")))
	must(t, os.Link(filepath.Join(data, "sub/f"), filepath.Join(data, "hard")))
	must(t, os.Chown(filepath.Join(data, "sub/f"), 70, 71))
	must(t, os.Chown(data, 999, 998))
	must(t, os.Chmod(data, 0o700))
	must(t, os.Symlink("/var/lib/db", filepath.Join(rootfs, "data"))) // absolute, as images have them
	attributes := unix.Setxattr(filepath.Join(data, "sub/f"), "user.colour", []byte("blue"), 0) == nil

	s := open(t, nil)
	path, err := s.Ensure(t.Context(), "shop-prod", "data")
	must(t, err)
	must(t, s.Populate(t.Context(), "shop-prod", "data", rootfs, "/data"))
	owner := func(name string) [3]uint32 {
		t.Helper()
		info, err := os.Lstat(filepath.Join(path, name))
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		return [3]uint32{st.Uid, st.Gid, uint32(info.Mode().Perm())}
	}
	if got := owner("."); got != [3]uint32{999, 998, 0o700} {
		t.Errorf("the volume itself: %v", got)
	}
	if got := owner("hard"); got != [3]uint32{70, 71, 0o640} {
		t.Errorf("a file: %v", got)
	}
	if to, err := os.Readlink(filepath.Join(path, "link")); to != "sub/f" || err != nil {
		t.Errorf("a link: %q, %v", to, err)
	}
	value := make([]byte, 10)
	if n, err := unix.Getxattr(filepath.Join(path, "sub/f"), "user.colour", value); attributes && string(value[:max(n, 0)]) != "blue" {
		t.Errorf("an extended attribute: %q, %v", value, err)
	}
	must(t, os.WriteFile(filepath.Join(data, "later"), nil, 0o644))
	must(t, s.Populate(t.Context(), "shop-prod", "data", rootfs, "/data"))
	if _, err := os.Stat(filepath.Join(path, "later")); err == nil {
		t.Error("a volume with data was filled again")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestPopulateStaysInside: a link in a hostile image does not lead to the
// host's files.
func TestPopulateStaysInside(t *testing.T) {
	outside, rootfs := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o644))
	must(t, os.Symlink(outside, filepath.Join(rootfs, "data")))
	must(t, os.Symlink("../../../../../.."+outside, filepath.Join(rootfs, "up")))
	s := open(t, nil)
	for _, at := range []string{"/data", "/up", "/../../" + outside, "/nothing"} {
		path, err := s.Ensure(t.Context(), "n", "v")
		must(t, err)
		must(t, s.Populate(t.Context(), "n", "v", rootfs, at))
		if empty, err := isEmpty(path); !empty || err != nil {
			t.Errorf("%s: the volume holds something (%v)", at, err)
		}
	}
}

// TestOpenSweeps clears what a crash left.
func TestOpenSweeps(t *testing.T) {
	s := open(t, nil)
	path, err := s.Ensure(t.Context(), "n", "v")
	must(t, err)
	left := filepath.Join(filepath.Dir(path), ".v-new-1")
	must(t, os.MkdirAll(filepath.Join(left, "x"), 0o755))
	_, err = Open(s.root, nil)
	must(t, err)
	if _, err := os.Stat(left); err == nil {
		t.Error("half a copy is still there")
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestOthersDoNotPass tries, as another user of the host, to start a program
// that a container has put into its volume; also where an older agent made the
// folders.
func TestOthersDoNotPass(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	for name, older := range map[string]bool{"new": false, "made by an older agent": true} {
		t.Run(name, func(t *testing.T) {
			// A folder that everybody may pass, as /var/lib is.
			dir, err := os.MkdirTemp("", "volumes")
			must(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			must(t, os.Chmod(dir, 0o755))
			root := filepath.Join(dir, "volumes")
			if older {
				must(t, os.Mkdir(root, 0o711))
			}
			s, err := Open(root, nil)
			must(t, err)
			path, err := s.Ensure(t.Context(), "shop-prod", "data")
			must(t, err)
			program := filepath.Join(path, "program")
			must(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
			run := exec.Command(program)
			run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			run.Dir = "/"
			if err := run.Run(); !errors.Is(err, os.ErrPermission) {
				t.Errorf("another user started it: %v, want that it is not allowed", err)
			}
		})
	}
}
