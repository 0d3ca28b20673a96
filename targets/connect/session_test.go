package connect

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSession starts the agent from a session that is narrow in every way, and
// looks that nothing of it has reached the agent.
func TestSession(t *testing.T) {
	clean(t)
	if _, err := Install(t.Context(), upload(t, "one")); err != nil {
		t.Fatal(err)
	}
	if err := StopAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	const narrow = `umask 077; cd /tmp; ulimit -Sn 99; ulimit -Ss 1024; ulimit -Sf 12345
		exec nice -n 7 "$0" service start`
	cmd := exec.Command("/bin/sh", "-c", narrow, currentLink+"/drayd")
	cmd.Env = append(os.Environ(), "SECRET=of-the-session")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid, err := agentPid()
	if err != nil || pid == 0 {
		t.Fatalf("the agent does not run: %v", err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := read("status"); !strings.Contains(got, "Umask:\t0022\n") {
		t.Errorf("its umask:\n%s", got)
	}
	if got := read("environ"); strings.Contains(got, "SECRET") || !strings.Contains(got, "PATH=/usr/local/sbin:") {
		t.Errorf("its environment: %q", got)
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("its folder: %s (%v)", cwd, err)
	}
	// The kernel answers 20 minus the nice value (getpriority(2)).
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid); err != nil || nice != 20 {
		t.Errorf("its nice value is %d (%v)", 20-nice, err)
	}
	for _, resource := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_STACK, unix.RLIMIT_FSIZE} {
		var got unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &got); err != nil {
			t.Fatal(err)
		}
		if want := min(serviceLimits[resource].Cur, got.Max); got.Cur != want { // what may be raised is this machine's
			t.Errorf("limit %d is %d of %d", resource, got.Cur, got.Max)
		}
	}
}

func TestTopGroups(t *testing.T) {
	got := topGroups("4:cpu,cpuacct:/user.slice/x\n3:memory:/\n1:name=elogind:/c2\n0::/user/1\n")
	want := []string{"/sys/fs/cgroup/cpu,cpuacct/cgroup.procs", "/sys/fs/cgroup/elogind/cgroup.procs"}
	if len(got) != 3 || !slices.Equal(got[:2], want) || !strings.HasPrefix(got[2], "/sys/fs/cgroup/") {
		t.Errorf("got %v", got)
	}
}

// TestAgentLogIsBounded: the log of an agent that no service manager started
// begins anew, with what else writes to its descriptors, and one is kept.
func TestAgentLogIsBounded(t *testing.T) {
	clean(t)
	log, err := openLog()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	keeper, err := openLog() // its parent's descriptor
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keeper.Close() }()
	if err := log.Truncate(largestLog - 3); err != nil {
		t.Fatal(err)
	}
	l := &boundedLog{out: []*os.File{log}}
	for _, line := range []string{"fills it\n", "begins anew\n"} {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := log.WriteString("last words\n"); err != nil { // as the runtime writes a panic
		t.Fatal(err)
	}
	parent := &boundedLog{out: []*os.File{keeper}}
	parent.follow()
	if _, err := parent.Write([]byte("it ended\n")); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(agentLog)
	if err != nil || string(now) != "begins anew\nlast words\nit ended\n" {
		t.Errorf("the log is %q (%v)", now, err)
	}
	before, err := os.ReadFile(agentLog + ".1")
	if err != nil || !bytes.HasSuffix(before, []byte("fills it\n")) {
		t.Errorf("the one before has %d bytes (%v)", len(before), err)
	}
}
