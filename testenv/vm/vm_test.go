package vm

import (
	"bytes"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestLoadOrder(t *testing.T) {
	const index = "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\nkernel/d.ko: kernel/c.ko\n"
	want := []string{"kernel/c.ko", "kernel/b.ko", "kernel/a.ko", "kernel/d.ko"}
	if got := loadOrder(index, []string{"a", "d"}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestArchive has another program unpack what the kernel is to unpack.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(busybox, "cpio", "-idmv")
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(archive([]entry{
		{"own/root", fs.ModeDir | 0o700, 0, nil},
		{"own/root/key", 0o600, 0, []byte("odd")},
		{"init", 0o755, 0, []byte("#!")},
	}))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"own", "own/root", "own/root/key", "init"} {
		if !slices.Contains(strings.Split(string(out), "\n"), name) {
			t.Errorf("%s is not in it: %s", name, out)
		}
	}
	listed, err := exec.Command("find", dir, "-mindepth", "1", "-printf", "%P %m %s\n", "-name", "key").Output()
	if err != nil || !strings.Contains(string(listed), "own/root/key 600 3\n") || !strings.Contains(string(listed), "init 755 2\n") {
		t.Errorf("unpacked (%v):\n%s", err, listed)
	}
}
