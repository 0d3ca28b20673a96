package runtime_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/targets/runtime"

	"golang.org/x/sys/unix"
)

// restart is the death of an agent and the start of the next.
func (h *host) restart(t *testing.T) {
	t.Helper()
	h.stop()
	h.boot(t)
}

// shimOf is the parent of a container's process.
func shimOf(t *testing.T, c runtime.Container) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.Pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	state := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))[0]
	return state != "Z" && state != "X"
}

func TestContainersOutliveTheAgent(t *testing.T) {
	h := newHost(t)
	lives := h.run(t, sh("lives", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.01; done"))
	ends := h.run(t, sh("ends", "sleep 60"))
	waiting, err := h.Create(t.Context(), sh("waiting", "echo started late"))
	if err != nil {
		t.Fatal(err)
	}
	h.awaitLine(t, lives.ID, "line 3")
	h.stop()
	if err := unix.Kill(ends.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, filepath.Join(h.config.Root, ends.ID, "exit.json"))
	before := strings.Count(h.output(t, lives.ID), "\n")
	h.boot(t)

	c, err := h.Get("lives")
	if err != nil || c.State != runtime.Running || c.Pid != lives.Pid || !c.Started.Equal(lives.Started) {
		t.Errorf("the one that lives: %+v, %v", c, err)
	}
	h.awaitLine(t, lives.ID, "line "+strconv.Itoa(before+3)) // it was logged all the time
	if out, code := h.exec(t, c.ID, runtime.ExecConfig{Command: []string{"echo", "hi"}}); out != "hi\n" || code != 0 {
		t.Errorf("exec after a restart: %q, %d", out, code)
	}
	if c, err = h.Get("ends"); err != nil || c.State != runtime.Exited || c.ExitCode != 137 || !c.Wanted {
		t.Errorf("the one that ended meanwhile: %+v, %v", c, err)
	}
	if c, err = h.Get("waiting"); err != nil || c.State != runtime.Created || c.Pid != waiting.Pid {
		t.Errorf("the one that waits: %+v, %v", c, err)
	}
	if err := h.Start(t.Context(), "waiting"); err != nil {
		t.Fatal(err)
	}
	h.wait(t, waiting.ID)
	if out := h.output(t, waiting.ID); out != "started late\n" {
		t.Errorf("it printed %q", out)
	}
	began := time.Now()
	if err := h.Kill(t.Context(), "lives", "KILL"); err != nil {
		t.Fatal(err)
	}
	if c := h.wait(t, lives.ID); c.ExitCode != 137 || time.Since(began) > 5*time.Second {
		t.Errorf("its end was not noticed as it should: %+v", c)
	}
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s was not written", path)
}

func TestAKilledShimEndsItsContainer(t *testing.T) {
	h := newHost(t)
	changes := h.Subscribe(t.Context())
	c := h.run(t, sh("orphan", "while :; do echo x; sleep 0.1; done"))
	if err := unix.Kill(shimOf(t, c), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	pid := c.Pid
	c = h.wait(t, c.ID)
	if c.ExitCode != 137 || !c.Wanted || !strings.Contains(c.Error, "shim") {
		t.Errorf("got %+v", c)
	}
	for change := range changes {
		if change.Action == "die" {
			break
		}
	}
	if err := h.Start(t.Context(), c.ID); err != nil { // what a restart policy does
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the old process lives on")
	}
	if c, _ = h.Get(c.ID); c.State != runtime.Running {
		t.Errorf("got %+v", c)
	}
}

func TestShimAndAgentKilled(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("both", "sleep 60"))
	shim := shimOf(t, c)
	h.stop()
	if err := unix.Kill(shim, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.boot(t)
	if got := h.wait(t, c.ID); got.State != runtime.Exited || !got.Wanted {
		t.Errorf("got %+v", got)
	}
	if alive(c.Pid) {
		t.Error("its process lives on")
	}
}

// A reboot takes all processes and /run; a host's test lab can't change the
// boot id, so this tries the harder case, where it is the same.
func TestReboot(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("wanted", "echo up; sleep 60"))
	stopped := h.run(t, sh("stopped", "sleep 60"))
	grace := time.Duration(0)
	if err := h.Stop(t.Context(), stopped.ID, &grace); err != nil {
		t.Fatal(err)
	}
	h.awaitLine(t, c.ID, "up")
	h.stop()
	for _, pid := range []int{shimOf(t, c), c.Pid} {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"rootfs", "etc"} {
		if err := unix.Unmount(filepath.Join(h.config.RunDir, c.ID, dir), unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{h.config.RunDir, filepath.Join(filepath.Dir(h.config.RunDir), "oci")} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	h.boot(t)
	got, err := h.Get("wanted")
	if err != nil || got.State != runtime.Exited || !got.Wanted {
		t.Errorf("the wanted one: %+v, %v", got, err)
	}
	if got, err := h.Get("stopped"); err != nil || got.State != runtime.Exited || got.Wanted {
		t.Errorf("the stopped one: %+v, %v", got, err)
	}
	if err := h.Start(t.Context(), "wanted"); err != nil {
		t.Fatal(err)
	}
	if got, _ = h.Get("wanted"); got.State != runtime.Running || got.ID != c.ID {
		t.Errorf("after the start: %+v", got)
	}
}

func TestFragmentsAreCleared(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("half", "sleep 60"))
	h.stop()
	// As if the agent had died before the container was whole.
	if err := os.Remove(filepath.Join(h.config.Root, c.ID, "state.json")); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(h.config.RunDir, strings.Repeat("ab", 32))
	if err := os.MkdirAll(stray, 0o700); err != nil {
		t.Fatal(err)
	}
	h.boot(t)
	if all := h.List(); len(all) != 0 {
		t.Errorf("got %+v", all)
	}
	if alive(c.Pid) {
		t.Error("its process lives on")
	}
	for _, dir := range []string{h.config.Root, h.config.RunDir} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("%s holds %v (%v)", dir, entries, err)
		}
	}
}

func TestChangesAreTold(t *testing.T) {
	h := newHost(t)
	changes := h.Subscribe(t.Context())
	c := h.run(t, sh("told", "sleep 60"))
	if err := h.SetHealth(c.ID, runtime.Health{Status: "healthy"}); err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(0)
	if err := h.Stop(t.Context(), c.ID, &grace); err != nil {
		t.Fatal(err)
	}
	if err := h.Remove(t.Context(), c.ID, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"create", "start", "health_status: healthy", "die", "stop", "destroy"} {
		select {
		case got := <-changes:
			if got.Action != want || got.Container.ID != c.ID {
				t.Fatalf("got %s, want %s", got.Action, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %s", want)
		}
	}
}
