package acceptance

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// TestDemo runs what newcomers run first: it ships to prod, and leaves nothing
// in the checkout; taken down, nothing on the machine.
func TestDemo(t *testing.T) {
	world.Programs(t)
	root, err := world.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "d")
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...) // taking it down must not end with the test's context
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "DEMO_LAB=demo-test", "DEMO_DIR="+dir, "DRAY_CONFIG=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run("make", "-s", "bin/lab")
	before := run("git", "status", "--porcelain", "--ignored")
	t.Cleanup(func() {
		if _, err := os.Stat(dir); err == nil { // the test failed before it came to that
			run("examples/demo.sh", "down")
		}
	})
	if said := run("examples/demo.sh", "up"); !strings.Contains(said, "dev, test and prod run web ") || strings.Count(said, "/version  1.0 on web-") != 4 {
		t.Errorf("the demo does not end with a service in prod:\n%s", said)
	}
	if after := run("git", "status", "--porcelain", "--ignored"); after != before {
		t.Errorf("it changes the checkout: %q, before %q", after, before)
	}
	run("examples/demo.sh", "down")
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
	if _, err := testenv.Load(testenv.StateDir(), "demo-test"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lab is left: %v", err)
	}
	if left, err := filepath.Glob("/sys/fs/cgroup/*/dray-lab-demo-test"); err != nil || len(left) > 0 {
		t.Errorf("control groups are left: %v %v", left, err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), "demo-test") {
		t.Errorf("mounts are left (%v)", err)
	}
}
