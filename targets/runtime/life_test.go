package runtime_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/logs"
	"dray/targets/runtime"

	"golang.org/x/sys/unix"
)

func TestRunAndExit(t *testing.T) {
	h := newHost(t)
	out, c := h.once(t, sh("one", "echo to out; echo to err >&2; exit 7"))
	if c.State != runtime.Exited || c.ExitCode != 7 || c.Pid != 0 || c.Finished.IsZero() || !c.Wanted {
		t.Errorf("got %+v", c)
	}
	if !strings.Contains(out, "to out\n") || !strings.Contains(out, "to err\n") {
		t.Errorf("log: %q", out)
	}
}

func TestIsolation(t *testing.T) {
	h := newHost(t)
	spec := sh("isolated", `
		echo pid=$$; echo processes=$(ls /proc | grep -c '^[0-9]'); echo hostname=$(hostname)
		grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status
		echo 1 > /proc/sys/kernel/hostname && echo proc-sys-writable
		touch /sys/x && echo sys-writable
		cat /proc/kcore >/dev/null 2>&1; wc -c < /proc/kcore
		mount -t tmpfs none /tmp && echo mounted
		echo interfaces=$(ls /sys/class/net)
		cat /etc/hostname; grep hello /etc/hosts; ls -d /dev/shm /dev/pts /dev/mqueue
		ip link set lo down && echo net-admin
		true`)
	spec.Hostname = "hello-1"
	out, c := h.once(t, spec)
	if c.ExitCode != 0 {
		t.Errorf("exit code %d", c.ExitCode)
	}
	for _, want := range []string{"pid=1\n", "hostname=hello-1\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n", "interfaces=lo\n", "hello-1\n", "127.0.0.1\thello-1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, bad := range []string{"writable", "mounted", "net-admin"} {
		if strings.Contains(out, bad) {
			t.Errorf("%s in\n%s", bad, out)
		}
	}
	const docker = 0xa80425fb
	_, rest, _ := strings.Cut(out, "CapBnd:\t")
	line, _, _ := strings.Cut(rest, "\n")
	bounding, err := strconv.ParseUint(line, 16, 64)
	if err != nil || bounding&^docker != 0 {
		t.Errorf("bounding set %q is not within %x", line, docker)
	}
}

func TestExitCodes(t *testing.T) {
	h := newHost(t)
	for _, test := range []struct {
		name, script string
		code         int
	}{
		{"zero", "true", 0}, {"own", "exit 42", 42}, {"segfault", "kill -SEGV $$; sleep 5 & kill -SEGV $!; wait $!", 139},
	} {
		if _, c := h.once(t, sh(test.name, test.script)); c.ExitCode != test.code {
			t.Errorf("%s: exit code %d, want %d", test.name, c.ExitCode, test.code)
		}
	}
}

func TestCommandRules(t *testing.T) {
	h := newHost(t)
	spec := sh("image-command", "")
	spec.Command = nil
	if out, _ := h.once(t, spec); out != "default\n" {
		t.Errorf("the image's command gave %q", out)
	}
	spec.Name, spec.Entrypoint = "own-entrypoint", []string{"echo", "mine"}
	if out, _ := h.once(t, spec); out != "mine\n" {
		t.Errorf("an entrypoint of its own gave %q", out)
	}
	missing := sh("missing", "")
	missing.Command = []string{"nothing-here"}
	_, err := h.Create(t.Context(), missing)
	if err == nil || !strings.Contains(err.Error(), "nothing-here") {
		t.Errorf("a missing command: %v", err)
	}
	if _, err := h.Get("missing"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("a failed creation remains: %v", err)
	}
}

func TestUserEnvironmentAndSecrets(t *testing.T) {
	h := newHost(t)
	spec := sh("who", `id; pwd; env | grep -E '^(HOME|FROM_IMAGE|BOTH|OWN|DB|PATH)='; ls -ln /run/secrets/db; cat /run/secrets/db; echo; cat /proc/mounts | grep secrets`)
	spec.User, spec.WorkDir = "app", "/made/here"
	spec.Env = []string{"OWN=1", "BOTH=spec"}
	spec.Secrets = []runtime.SecretUse{{Version: "v1", Env: "DB"}, {Version: "v1", File: "/run/secrets/db"}}
	out, c := h.once(t, spec)
	for _, want := range []string{
		"uid=1000(app) gid=1000(app) groups=50(staff)", "/made/here\n", "HOME=/home/app", "FROM_IMAGE=yes",
		"BOTH=spec", "OWN=1", "DB=s3cret", "-r--------    1 1000     1000", "s3cret\n", "/run/secrets/db tmpfs ro", "PATH=/usr/local/sbin",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	err := filepath.Walk(h.config.Root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() || strings.Contains(path, "/logs/") {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "s3cret") {
			t.Errorf("a secret's value is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := h.Stop(t.Context(), c.ID, nil); err != nil { // waits until the end is cleared up
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(h.config.RunDir, c.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run folder, with secrets, outlives the process: %v", err)
	}
}

func TestReadOnlyTmpfsAndMounts(t *testing.T) {
	h := newHost(t)
	data := t.TempDir()
	spec := sh("mounts", `touch /x && echo root-writable; touch /scratch/x && echo scratch; echo kept > /data/f; touch /fixed/x && echo fixed-writable; true`)
	spec.ReadOnly = true
	spec.Tmpfs = []string{"/scratch"}
	spec.Mounts = []runtime.Mount{{Source: data, Destination: "/data"}, {Source: data, Destination: "/fixed", ReadOnly: true}}
	out, _ := h.once(t, spec)
	if strings.Contains(out, "writable") || !strings.Contains(out, "scratch\n") {
		t.Errorf("got %q", out)
	}
	if got, err := os.ReadFile(filepath.Join(data, "f")); err != nil || string(got) != "kept\n" {
		t.Errorf("the volume has %q, %v", got, err)
	}
}

func TestMemoryLimitKills(t *testing.T) {
	h := newHost(t)
	spec := sh("hungry", "exec dd if=/dev/zero of=/dev/null bs=200M count=1")
	spec.Resources = pipeline.Resources{Memory: 32 << 20}
	_, c := h.once(t, spec)
	if c.ExitCode != 137 || !c.OOMKilled {
		t.Errorf("exit code %d, OOM %v; want 137, true", c.ExitCode, c.OOMKilled)
	}
	again := sh("modest", "exit 137")
	if _, c := h.once(t, again); c.OOMKilled {
		t.Error("a container that was not killed for memory is said to be")
	}
}

func TestForkBombStopsAtPids(t *testing.T) {
	h := newHost(t)
	spec := sh("bomb", `echo limit $(cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null); i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); echo $i; done; echo survived`)
	spec.Resources = pipeline.Resources{Pids: 20}
	out, _ := h.once(t, spec)
	if !strings.Contains(out, "limit 20\n") || !strings.Contains(out, "\n15\n") || strings.Contains(out, "\n20\n") || strings.Contains(out, "survived") {
		t.Errorf("it printed:\n%s", out)
	}
}

func TestStopAsksThenKills(t *testing.T) {
	h := newHost(t)
	polite := h.run(t, sh("polite", `trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done`))
	h.awaitLine(t, polite.ID, "up")
	if err := h.Stop(t.Context(), "polite", nil); err != nil {
		t.Fatal(err)
	}
	c, _ := h.Get("polite")
	if c.State != runtime.Exited || c.ExitCode != 3 || c.Wanted || !strings.Contains(h.output(t, c.ID), "bye") {
		t.Errorf("got %+v", c)
	}

	deaf := h.run(t, sh("deaf", `trap '' TERM; echo up; while :; do sleep 0.05; done`))
	h.awaitLine(t, deaf.ID, "up")
	began, grace := time.Now(), 300*time.Millisecond
	if err := h.Stop(t.Context(), "deaf", &grace); err != nil {
		t.Fatal(err)
	}
	c, _ = h.Get("deaf")
	if took := time.Since(began); c.ExitCode != 137 || took < grace || took > 5*time.Second {
		t.Errorf("exit code %d after %s", c.ExitCode, took)
	}
	if c.OOMKilled {
		t.Error("a container that was killed is said to have been out of memory")
	}
}

// awaitLine waits until a container has printed a line.
func (h *host) awaitLine(t *testing.T, id, line string) {
	t.Helper()
	found := errors.New("found")
	err := h.Logs(t.Context(), id, logs.Query{Follow: true}, func(r logs.Record) error {
		if string(r.Text) == line {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		t.Fatalf("%q was not printed: %v\n%s", line, err, h.output(t, id))
	}
}

func TestSignalsReachTheProcess(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("signals", `trap 'echo got-usr1; exit 0' USR1; echo up; while :; do sleep 0.05; done`))
	h.awaitLine(t, c.ID, "up")
	if err := h.Kill(t.Context(), c.ID[:12], "USR1"); err != nil {
		t.Fatal(err)
	}
	h.awaitLine(t, c.ID, "got-usr1")
	h.wait(t, c.ID)
	if err := h.Kill(t.Context(), c.ID, "TERM"); !errors.Is(err, runtime.ErrState) {
		t.Errorf("signalling an ended container: %v", err)
	}
	if err := h.Kill(t.Context(), c.ID, "NOSUCH"); err == nil {
		t.Error("an unknown signal was taken")
	}
}

func TestPause(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("pausing", "while :; do sleep 0.02; done"))
	if err := h.Pause(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if c, _ = h.Get(c.ID); c.State != runtime.Paused {
		t.Errorf("state %s", c.State)
	}
	if _, err := h.ExecCreate(c.ID, runtime.ExecConfig{Command: []string{"true"}}); !errors.Is(err, runtime.ErrState) {
		t.Errorf("exec in a paused container: %v", err)
	}
	if err := h.Unpause(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.Pause(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.Remove(t.Context(), c.ID, true); err != nil { // a frozen one can be removed
		t.Fatal(err)
	}
}

func TestStartAgainKeepsTheFiles(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("again", "echo x >> /tmp/f; wc -l < /tmp/f"))
	h.wait(t, c.ID)
	if err := h.Start(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	c = h.wait(t, c.ID)
	if out := h.output(t, c.ID); out != "1\n2\n" || c.Restarts != 1 {
		t.Errorf("printed %q, %d restarts", out, c.Restarts)
	}
	grace := time.Second
	if err := h.Stop(t.Context(), c.ID, &grace); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if c = h.wait(t, c.ID); c.Restarts != 0 {
		t.Errorf("a start by hand counts as a restart")
	}
}

// TestStartWantedHonoursAStop: what brings ended containers back comes after
// somebody has stopped one.
func TestStartWantedHonoursAStop(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("ended", "true"))
	h.wait(t, c.ID)
	if err := h.StartWanted(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if c = h.wait(t, c.ID); c.Restarts != 1 {
		t.Errorf("it was wanted and ran again %d times", c.Restarts)
	}
	if err := h.Stop(t.Context(), c.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.StartWanted(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Get(c.ID); err != nil || got.Wanted || got.Restarts != 1 || got.State != runtime.Exited {
		t.Errorf("after a stop: %+v, %v", got, err)
	}
}

// TestAStartThatFailsIsCounted: a container that ran and can't be started any
// more says why, counts the tries, and has not run since.
func TestAStartThatFailsIsCounted(t *testing.T) {
	h := newHost(t)
	source := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := sh("bound", "exit 3")
	spec.Mounts = []runtime.Mount{{Source: source, Destination: "/data"}}
	c := h.run(t, spec)
	h.wait(t, c.ID)
	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}
	changes := h.Subscribe(t.Context())
	for try := 1; try <= 2; try++ {
		if err := h.StartWanted(t.Context(), c.ID); err == nil {
			t.Fatal("it started")
		}
		c, err := h.Get(c.ID)
		if err != nil || c.Restarts != try || !c.Started.IsZero() || c.State != runtime.Exited || !strings.Contains(c.Error, source) {
			t.Errorf("try %d: %+v, %v", try, c, err)
		}
		if change := <-changes; change.Action != "die" || change.Container.Error == "" {
			t.Errorf("told: %s %q", change.Action, change.Container.Error)
		}
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("gone", "sleep 60"))
	if err := h.Remove(t.Context(), "gone", false); !errors.Is(err, runtime.ErrState) {
		t.Errorf("removing a running container: %v", err)
	}
	pid := c.Pid
	if err := h.Remove(t.Context(), "gone", true); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("its process lives on")
	}
	for _, dir := range []string{h.config.Root, h.config.RunDir, filepath.Join(h.images.base, "layers"), filepath.Join(filepath.Dir(h.config.RunDir), "oci")} {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 0 {
			t.Errorf("%s holds %v (%v)", dir, entries, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), c.ID) {
		t.Errorf("a mount of it remains (%v)", err)
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + h.config.CgroupParent + "/" + c.ID)
	if len(groups) != 0 {
		t.Errorf("cgroups remain: %v", groups)
	}
}

func TestNames(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("taken", "sleep 60"))
	if _, err := h.Create(t.Context(), sh("taken", "true")); !errors.Is(err, runtime.ErrExists) {
		t.Errorf("a second container of that name: %v", err)
	}
	if _, err := h.Create(t.Context(), sh("../up", "true")); err == nil {
		t.Error("a name with a slash was taken")
	}
	for _, by := range []string{c.ID, c.ID[:10], "taken", "/taken"} {
		if got, err := h.Get(by); err != nil || got.ID != c.ID {
			t.Errorf("by %q: %v", by, err)
		}
	}
	if _, err := h.Get(""); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("by nothing: %v", err)
	}
}

func TestUpdate(t *testing.T) {
	h := newHost(t)
	spec := sh("resized", "sleep 60")
	spec.Resources = pipeline.Resources{Memory: 64 << 20, CPU: 0.5, Pids: 50}
	c := h.run(t, spec)
	if err := h.Update(t.Context(), c.ID, pipeline.Resources{Memory: 128 << 20, Pids: 60}); err != nil {
		t.Fatal(err)
	}
	s, err := h.Stats(c.ID)
	if err != nil || s.Memory.Limit != 128<<20 || s.PidsLimit != 60 {
		t.Errorf("memory %d, pids %d, %v", s.Memory.Limit, s.PidsLimit, err)
	}
	if err := h.Update(t.Context(), c.ID, pipeline.Resources{Memory: 32 << 20, CPU: 1}); err != nil {
		t.Fatal(err)
	}
	if s, err = h.Stats(c.ID); err != nil || s.Memory.Limit != 32<<20 {
		t.Errorf("memory %d, %v", s.Memory.Limit, err)
	}
	if err := h.Update(t.Context(), c.ID, pipeline.Resources{}); err != nil {
		t.Fatal(err)
	}
	if s, err = h.Stats(c.ID); err != nil || s.Memory.Limit != 0 {
		t.Errorf("without a limit: %d, %v", s.Memory.Limit, err)
	}
	if err := h.Update(t.Context(), c.ID, pipeline.Resources{Memory: 128 << 20}); err != nil {
		t.Fatal(err)
	}
	if c, _ = h.Get(c.ID); c.Spec.Resources.Memory != 128<<20 {
		t.Errorf("kept as %v", c.Spec.Resources)
	}
}

func TestTopAndStats(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("busy", "echo up; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 60"))
	h.awaitLine(t, c.ID, "up")
	processes, err := h.Top(c.ID)
	if err != nil || len(processes) == 0 || processes[0].PID != c.Pid || !strings.HasPrefix(processes[0].Command, "sh -c") {
		t.Errorf("%+v, %v", processes, err)
	}
	s, err := h.Stats(c.ID)
	if err != nil || s.CPU.Total == 0 || s.Memory.Usage == 0 || s.Pids == 0 || s.System == 0 || s.CPUs == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAFloodIsLoggedWhole(t *testing.T) {
	h := newHost(t)
	const lines = 100_000
	c := h.run(t, sh("flood", fmt.Sprintf("seq 1 %d; echo last >&2", lines)))
	next, last := 1, false
	err := h.Logs(t.Context(), c.ID, logs.Query{Follow: true}, func(r logs.Record) error {
		switch {
		case r.Stream == logs.Stderr:
			last = string(r.Text) == "last"
		case string(r.Text) != strconv.Itoa(next):
			return fmt.Errorf("%q where %d is due", r.Text, next)
		default:
			next++
		}
		return nil
	})
	if err != nil || next != lines+1 || !last {
		t.Errorf("up to %d, the last one %v: %v", next-1, last, err)
	}
}

// TestNothingCanBeWritten stops, kills, starts and pauses containers whose state
// can't be written, as on a full disk.
func TestNothingCanBeWritten(t *testing.T) {
	h := newHost(t)
	stopped, killed := h.run(t, sh("stopped", "sleep 600")), h.run(t, sh("killed", "sleep 600"))
	waiting, err := h.Create(t.Context(), sh("waiting", "sleep 600"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{stopped.ID, killed.ID, waiting.ID} {
		// What the state is written to first.
		if err := os.Mkdir(filepath.Join(h.config.Root, id, "state.json.new"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	grace := time.Duration(0)
	if err := h.Stop(t.Context(), "stopped", &grace); err != nil || alive(stopped.Pid) {
		t.Errorf("stopping: %v, alive %t", err, alive(stopped.Pid))
	}
	if err := h.Kill(t.Context(), "killed", "KILL"); err != nil {
		t.Errorf("killing: %v", err)
	}
	if c := h.wait(t, killed.ID); c.Wanted || alive(killed.Pid) {
		t.Errorf("after the kill: %+v", c)
	}
	if err := h.Start(t.Context(), "waiting"); err != nil {
		t.Errorf("starting: %v", err)
	}
	if err := h.Pause(t.Context(), "waiting"); err != nil {
		t.Errorf("pausing: %v", err)
	}
	h.restart(t)
	if c, err := h.Get("waiting"); err != nil || c.State != runtime.Paused {
		t.Errorf("found by the next agent: %+v, %v; want it paused", c, err)
	}
}

// TestOwnFilesAreBounded has a container write to its files in /etc without end:
// the host's /run does not fill.
func TestOwnFilesAreBounded(t *testing.T) {
	h := newHost(t)
	c := h.run(t, sh("greedy", "sleep 600"))
	var sum int64
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		_, code := h.exec(t, c.ID, runtime.ExecConfig{Command: []string{"dd", "if=/dev/zero", "of=/etc/" + name, "bs=1M", "count=20"}})
		if code == 0 {
			t.Errorf("20 MiB were written to /etc/%s", name)
		}
		info, err := os.Stat(filepath.Join(h.config.RunDir, c.ID, "etc", name))
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if sum > 1<<20 {
		t.Errorf("its files have %d bytes", sum)
	}
	if err := h.SetHosts(t.Context(), c.ID, nil); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("writing its names: %v", err)
	}
	if err := h.Remove(t.Context(), c.ID, true); err != nil {
		t.Error(err)
	}
}
