package testenv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/testenv"
)

// ssh runs a command on a host the way a person would.
func ssh(ctx context.Context, lab *testenv.Lab, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "ssh", append([]string{"-F", lab.SSHConfig, "-o", "ConnectTimeout=5"}, args...)...).CombinedOutput()
	return string(out), err
}

func must(t *testing.T) func(out string, err error) string {
	return func(out string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(out)
	}
}

func TestHostsAreApart(t *testing.T) {
	lab := testenv.New(t, testenv.Options{Hosts: []string{"d1", "p1"}})
	ctx := t.Context()
	for _, h := range lab.Hosts() {
		if got := must(t)(h.Exec(ctx, "hostname")); got != h.Name {
			t.Errorf("host %s is called %q", h.Name, got)
		}
		processes, err := h.Processes()
		if err != nil {
			t.Fatal(err)
		}
		if len(processes) != 2 || processes[0].HostPID != 1 {
			t.Errorf("on host %s run %v, not init and sshd alone", h.Name, processes)
		}
		if got := must(t)(h.Exec(ctx, "ls", "/var/lib", "/home", "/root", "/work", "/tmp", "/sys/class/net")); strings.Contains(got, "dpkg") {
			t.Errorf("host %s sees the machine's folders:\n%s", h.Name, got)
		}
	}
	d1, p1 := lab.Host("d1"), lab.Host("p1")
	must(t)(d1.Exec(ctx, "sh", "-c", "echo d1 > /var/lib/mark; echo d1 > /etc/mark; echo d1 > /usr/local/mark"))
	for _, path := range []string{"/var/lib/mark", "/etc/mark", "/usr/local/mark"} {
		if _, err := p1.Exec(ctx, "test", "!", "-e", path); err != nil {
			t.Errorf("%s of d1 is on p1", path)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of d1 is on the machine: %v", path, err)
		}
	}
	must(t)(p1.Exec(ctx, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))
	if got := must(t)(d1.Exec(ctx, "cat", "/proc/sys/net/ipv4/ip_forward")); got != "0" {
		t.Errorf("p1's ip_forward is d1's too: %q", got)
	}
	must(t)(d1.Exec(ctx, "busybox", "ping", "-c", "1", "-W", "2", p1.Addr))
	if out, err := d1.Exec(ctx, "ip", "route", "get", "192.0.2.1"); err == nil {
		t.Errorf("d1 has a way out of the lab: %s", out)
	}
}

func TestDiskTakesOverlays(t *testing.T) {
	for name, size := range map[string]int64{"folder": 0, "image": 64 << 20} {
		t.Run(name, func(t *testing.T) {
			lab := testenv.New(t, testenv.Options{DiskSize: size})
			must(t)(lab.Host("d1").Exec(t.Context(), "sh", "-ec", `cd /var/lib; mkdir l u w m; echo x > l/x
				mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m; rm m/x; test -c u/x; umount m`))
		})
	}
}

func TestCgroupsAreTheHostsOwn(t *testing.T) {
	lab := testenv.New(t, testenv.Options{})
	out := must(t)(lab.Host("d1").Exec(t.Context(), "sh", "-ec", `
		mounts() { awk '/ - cgroup2? / { print $5, $4 }' /proc/self/mountinfo; }
		! grep '\.\.' /proc/self/cgroup
		mounts | while read dir root; do
			[ $root = / ] || echo "$dir shows $root"
			self=$dir; [ ! -d $dir/init.scope ] || self=$dir/init.scope
			grep -qx $$ $self/cgroup.procs || echo "not in $self"
			mkdir $dir/dray
			[ ! -e $dir/cpuset.cpus ] || cat $dir/cpuset.cpus > $dir/dray/cpuset.cpus
			[ ! -e $dir/cpuset.mems ] || cat $dir/cpuset.mems > $dir/dray/cpuset.mems
			echo $$ > $dir/dray/cgroup.procs
			grep -qx $$ $dir/dray/cgroup.procs || echo "not in $dir/dray"
		done
		mounts | wc -l`))
	if n, err := strconv.Atoi(out); err != nil || n == 0 {
		t.Errorf("the host's groups are not as those of a machine:\n%s", out)
	}
}

func TestSSHIsHardened(t *testing.T) {
	lab := testenv.New(t, testenv.Options{})
	ctx := t.Context()
	if got := must(t)(ssh(ctx, lab, "d1", "id -un; sudo -n id -un; hostname")); got != "deploy\nroot\nd1" {
		t.Errorf("a login gives %q", got)
	}
	if got := must(t)(ssh(ctx, lab, "-tt", "d1", "tty")); !strings.HasPrefix(got, "/dev/pts/") {
		t.Errorf("a terminal is %q", got)
	}
	if got := must(t)(ssh(ctx, lab, "-l", "root", "d1", "id -un")); got != "root" {
		t.Errorf("root logs in as %q", got)
	}
	if out, err := ssh(ctx, lab, "-o", "PubkeyAuthentication=no", "-o", "BatchMode=yes", "d1", "true"); err == nil || !strings.Contains(out, "(publickey)") {
		t.Errorf("without the key: %v %s", err, out)
	}
	if out, err := ssh(ctx, lab, "-W", "127.0.0.1:22", "d1"); err == nil || !strings.Contains(out, "administratively prohibited") {
		t.Errorf("forwarding is not refused: %v %s", err, out)
	}
}

func TestBehindABastion(t *testing.T) {
	lab := testenv.New(t, testenv.Options{Bastion: "gate", Behind: true})
	ctx := t.Context()
	if got := must(t)(ssh(ctx, lab, "d1.jump", "hostname")); got != "d1" {
		t.Errorf("through the bastion one reaches %q", got)
	}
	if out, err := ssh(ctx, lab, "d1", "hostname"); err == nil {
		t.Errorf("the host is reached past the bastion: %s", out)
	}
}

// TestOwnerKilled kills a process that has a lab, and finds nothing of it
// after the next sweep; its hosts are dead before.
func TestOwnerKilled(t *testing.T) {
	if dir := os.Getenv("LAB_TO_ABANDON"); dir != "" {
		lab := testenv.New(t, testenv.Options{Name: "orphan", Dir: dir})
		fmt.Println("pid", lab.Host("d1").PID())
		select {} // until it is killed
	}
	dir := t.TempDir()
	owner := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestOwnerKilled$")
	owner.Env = append(os.Environ(), "LAB_TO_ABANDON="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanf(out, "pid %d\n", &pid); err != nil {
		t.Fatal(err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed
	wait(t, func() bool { return !lives(pid) })
	if _, err := testenv.Load(dir, "orphan"); err != nil {
		t.Fatalf("the lab is gone before it was swept: %v", err)
	}
	testenv.New(t, testenv.Options{}) // sweeps, and finds it by its bridge
	if _, err := os.Stat(filepath.Join(dir, "orphan")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	left, err := filepath.Glob("/sys/fs/cgroup/*/dray-lab-orphan")
	if err != nil || len(left) > 0 {
		t.Errorf("groups are left: %v %v", left, err)
	}
	links := must(t)(output(exec.CommandContext(t.Context(), "ip", "-d", "link")))
	if strings.Contains(links, dir) {
		t.Errorf("the bridge is left:\n%s", links)
	}
}

func lives(pid int) bool {
	state, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(state), ") Z ")
}

func TestReboot(t *testing.T) {
	lab := testenv.New(t, testenv.Options{})
	ctx, h := t.Context(), lab.Host("d1")
	must(t)(ssh(ctx, lab, "d1", `sudo sh -ec '
		echo kept > /var/lib/mark; echo lost > /run/mark; echo lost > /tmp/mark
		printf "#!/bin/sh\necho \$0 \$1 \$\$ > /run/started\nsetsid sleep 1000 &\n" > /etc/init.d/probe
		chmod +x /etc/init.d/probe; ln -s ../init.d/probe /etc/rc2.d/S01probe'`))
	before := h.PID()
	if err := h.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	if h.PID() == before {
		t.Error("process 1 is the same")
	}
	if got := must(t)(h.Exec(ctx, "sh", "-c", "cat /var/lib/mark; ls /tmp; test ! -e /run/mark")); got != "kept" {
		t.Errorf("after a reboot the disk, /tmp and /run hold %q", got)
	}
	wait(t, func() bool {
		out, err := h.Exec(ctx, "cat", "/run/started")
		return err == nil && strings.HasPrefix(out, "/etc/rc2.d/S01probe start")
	})
}

func TestCutAndRestore(t *testing.T) {
	lab := testenv.New(t, testenv.Options{})
	ctx, h := t.Context(), lab.Host("d1")
	if err := h.Cut(); err != nil {
		t.Fatal(err)
	}
	if out, err := ssh(ctx, lab, "-o", "ConnectTimeout=1", "d1", "true"); err == nil {
		t.Errorf("a host that is cut off answers: %s", out)
	}
	if got := must(t)(h.Exec(ctx, "cat", "/sys/class/net/eth0/carrier")); got != "0" {
		t.Errorf("the host has a carrier: %q", got)
	}
	if err := h.Restore(); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool {
		_, err := ssh(ctx, lab, "d1", "true")
		return err == nil
	})
}

func TestFullDisk(t *testing.T) {
	lab := testenv.New(t, testenv.Options{DiskSize: 32 << 20})
	ctx, h := t.Context(), lab.Host("d1")
	if err := h.FillDisk(0); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/var/lib", "/etc", "/home/deploy"} {
		if _, err := h.Exec(ctx, "sh", "-c", "head -c 100000 /dev/zero > "+dir+"/more"); err == nil || !strings.Contains(err.Error(), "No space left") {
			t.Errorf("writing to %s of a full disk: %v", dir, err)
		}
	}
	if err := h.Reboot(ctx); err != nil {
		t.Fatalf("booting with a full disk: %v", err)
	}
	if err := h.FreeDisk(); err != nil {
		t.Fatal(err)
	}
	must(t)(h.Exec(ctx, "sh", "-c", "head -c 1000000 /dev/zero > /var/lib/more"))
}

func TestServiceIsReachable(t *testing.T) {
	lab := testenv.New(t, testenv.Options{})
	h := lab.Host("d1")
	must(t)(h.Exec(t.Context(), "busybox", "httpd", "-p", "80", "-h", "/etc"))
	answer, err := http.Get("http://" + h.Addr + "/hostname")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "d1\n" {
		t.Errorf("the machine reads %q from the host: %v", body, err)
	}
}

func TestUpLoadClose(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	o := testenv.Options{Name: "keep", Dir: dir, Hosts: []string{"d1", "p1"}}
	lab, err := testenv.Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close(context.WithoutCancel(ctx))
	first := lab.Host("d1").PID()
	if err := lab.Host("p1").Stop(ctx); err != nil {
		t.Fatal(err)
	}
	o.Hosts = append(o.Hosts, "p2")
	again, err := testenv.Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Host("d1").PID() != first {
		t.Error("a host that ran was started again")
	}
	for _, name := range o.Hosts {
		must(t)(ssh(ctx, again, name, "true"))
	}
	if err := testenv.Sweep(ctx, dir); err != nil {
		t.Fatal(err)
	}
	loaded, err := testenv.Load(dir, "keep")
	if err != nil {
		t.Fatalf("sweeping removed a lab that is to stay: %v", err)
	}
	checkClose(t, loaded)
}

func TestCloseLeavesNothing(t *testing.T) {
	lab := testenv.New(t, testenv.Options{Name: "gone", Dir: t.TempDir(), DiskSize: 32 << 20})
	must(t)(lab.Host("d1").Exec(t.Context(), "sh", "-c", "mkdir /sys/fs/cgroup/*/left; setsid sleep 1000 & mount -t tmpfs none /mnt"))
	checkClose(t, lab)
}

// checkClose takes a lab down and looks for what is left of it.
func checkClose(t *testing.T, lab *testenv.Lab) {
	t.Helper()
	var pids []int
	for _, h := range lab.Hosts() {
		processes, err := h.Processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range processes {
			pids = append(pids, p.PID)
		}
	}
	subnet := strings.TrimSuffix(lab.Gateway(), ".1")
	if err := lab.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if lives(pid) {
			t.Errorf("process %d lives", pid)
		}
	}
	for what, argv := range map[string][]string{
		"links":  {"ip", "-o", "addr"},
		"routes": {"ip", "route"},
		"mounts": {"cat", "/proc/self/mountinfo"},
		"loops":  {"losetup", "--all"},
		"groups": {"find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", "dray-lab-" + lab.Name},
	} {
		out := must(t)(output(exec.CommandContext(t.Context(), argv[0], argv[1:]...)))
		if strings.Contains(out, subnet+".") || strings.Contains(out, lab.Dir) || strings.Contains(out, "dray-lab-"+lab.Name) {
			t.Errorf("left over: %s:\n%s", what, out)
		}
	}
	if _, err := os.Stat(lab.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	return string(out), err
}

// wait polls a condition that comes about by itself.
func wait(t *testing.T, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
