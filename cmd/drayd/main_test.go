package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests here run the real daemon over the real parts. Each test runs again
// inside namespaces of its own, where it may have networks, mounts and a
// packet filter; its folders are in memory.

// inside is set in the process that runs in the namespaces; programs holds the
// folder of drayd and dray-oci.
const (
	inside   = "DRAYD_TEST_INSIDE" // "1", "2", …: how often the host has booted
	programs = "DRAYD_TEST_PROGRAMS"
	disk     = "DRAYD_TEST_DISK" // folder that is the host's disk; none is in memory
)

func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	os.Exit(withPrograms(m))
}

func withPrograms(m *testing.M) int {
	dir, err := os.MkdirTemp("", "drayd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, build := range [][]string{
		{"CGO_ENABLED=0", "-tags", "failpoint", "-ldflags", "-s -w", "-o", filepath.Join(dir, "drayd"), "dray/cmd/drayd"},
		{"CGO_ENABLED=1", "-tags", "seccomp netgo osusergo", "-ldflags", "-s -w -linkmode external -extldflags -static",
			"-o", filepath.Join(dir, "dray-oci"), "dray/cmd/dray-oci"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-trimpath"}, build[1:]...)...)
		cmd.Env = append(os.Environ(), build[0])
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
			return 1
		}
	}
	if err := os.Setenv(programs, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// isolated runs the test in namespaces of its own. It returns true in there.
func isolated(t *testing.T) bool {
	t.Helper()
	return booted(t, 1, "") == 1
}

// booted runs the test so often in namespaces of its own, over one disk: each
// time is a boot of the host. It returns which one it is in there, and 0
// outside.
func booted(t *testing.T, times int, dir string) int {
	t.Helper()
	if text := os.Getenv(inside); text != "" {
		furnish(t)
		boot, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return boot
	}
	if os.Geteuid() != 0 {
		t.Skip("namespaces and containers need root")
	}
	for boot := 1; boot <= times && !t.Failed(); boot++ {
		runInside(t, boot, dir)
	}
	return 0
}

func runInside(t *testing.T, boot int, dir string) {
	t.Helper()
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child",
		os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "5m")
	cmd.Env = append(os.Environ(), inside+"="+strconv.Itoa(boot), disk+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in the namespaces: %v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
}

// furnish gives the namespaces folders in memory and an address.
func furnish(t *testing.T) {
	t.Helper()
	for _, dir := range []string{stateFolder, runFolder} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			t.Fatalf("mounting %s: %v", dir, err)
		}
	}
	if dir := os.Getenv(disk); dir != "" {
		if err := unix.Mount(dir, stateFolder, "", unix.MS_BIND, ""); err != nil {
			t.Fatalf("mounting the host's disk: %v", err)
		}
	}
	id := filepath.Join(runFolder, "boot_id")
	if err := os.WriteFile(id, []byte("boot-"+os.Getenv(inside)+"\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(id, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("giving the boot a name: %v", err)
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "eth0", "type", "bridge"},
		{"address", "add", hostAddress + "/24", "dev", "eth0"},
		{"link", "set", "eth0", "up"},
	} {
		if out, err := exec.CommandContext(context.Background(), "ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
}

const hostAddress = "192.0.2.1"
