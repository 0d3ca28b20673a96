package acceptance

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dray/testenv/vm"
	"dray/testenv/world"
)

// server is a virtual machine with the service that tests bring there.
type server struct {
	*vm.Machine
	w   *world.World
	url string
}

// TestServer brings a service to a server as it stands in a rack: its own
// kernel, systemd as process 1, cgroup version 2 with all controllers.
func TestServer(t *testing.T) {
	if os.Getenv("DRAY_TEST_VM") == "" || testing.Short() {
		t.Skip("it boots a virtual machine several times, which takes minutes: make acceptance-vm")
	}
	began := time.Now()
	m := vm.New(t, vm.Options{})
	t.Logf("the machine is up after %s", time.Since(began).Round(100*time.Millisecond))
	s := server{Machine: m, w: world.Reaching(t, m.SSHConfig), url: "http://" + m.Addr(80)}
	s.bring(t)
	t.Run("the machine", s.isServer)
	t.Run("isolation", s.isolates)
	t.Run("AppArmor", s.isArmoured)
	t.Run("limits are written", s.hasLimits)
	t.Run("exec, logs and stats", s.tells)
	t.Run("memory", s.limitsMemory)
	t.Run("pids", s.limitsPids) // last of what looks inside: no exec starts in a container that is full
	t.Run("systemd goes about its work", s.standsSystemd)
	t.Run("agent killed", func(t *testing.T) { s.agentEnds(t, "kill -9 $(systemctl show -P MainPID dray)") })
	t.Run("unit restarted", func(t *testing.T) { s.agentEnds(t, "systemctl restart dray") })
	t.Run("a release more", func(t *testing.T) {
		s.w.Dray(t, 0, "deploy", "prod", "--var", "version=2")
		s.serves(t, "2")
	})
	t.Run("rebooted", func(t *testing.T) {
		s.comesBack(t, m.Reboot)
		s.endedInOrder(t)
	})
	t.Run("power cut", func(t *testing.T) { s.comesBack(t, m.Reset) })
	t.Run("nothing is left", s.isLeftClean)
}

// bring deploys for the first time. Times are for a machine that is emulated.
func (s server) bring(t *testing.T) {
	s.w.App(t, "prod: "+s.Name)
	s.w.Replace(t, "Dockerfile", "FROM scratch", "FROM busybox")
	s.w.Replace(t, "dray.hcl", `memory = "64MiB"`, "cpu    = 0.5\n    memory = \"64MiB\"")
	s.w.Replace(t, "dray.hcl", `healthy_deadline = "6s"`, `healthy_deadline = "2m"`)
	s.w.Replace(t, "dray.hcl", `timeout  = "2s"`, `timeout  = "20s"`)
	s.w.Replace(t, "dray.hcl", `interval = "500ms"`, `interval = "3s"`)
	r := s.w.Dray(t, 0, "deploy", "prod")
	t.Logf("the first deployment took %s", r.Took.Round(100*time.Millisecond))
	if strings.Contains(r.Stdout+r.Stderr, "controller") {
		t.Errorf("it warns of limits that work here: %s", r)
	}
	s.serves(t, "1")
}

func (s server) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := s.Exec(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (s server) serves(t *testing.T, version string) {
	t.Helper()
	eventually(t, time.Minute, "version "+version+" serving", func() error {
		got, err := get(s.url + "/version")
		if err == nil && !strings.HasPrefix(got, version+" ") {
			err = fmt.Errorf("it serves %q", got)
		}
		return err
	})
}

func (s server) healthy(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, "all instances, and no remarks", func() error {
		if got := s.w.Status(t)["prod"]; got.Services["web"] != "2/2 healthy" || len(got.Notes) > 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// isServer looks that this tests what it says.
func (s server) isServer(t *testing.T) {
	for command, want := range map[string]string{
		"cat /proc/1/comm":                      "systemd",
		"stat -fc %T /sys/fs/cgroup":            "cgroup2fs",
		"cat /sys/fs/cgroup/cgroup.controllers": "cpu io memory",
		"systemctl is-system-running --wait":    "running",
		"systemctl is-active dray":              "active",
		"systemctl is-enabled dray":             "enabled",
		"systemctl is-active dray-containers":   "active",
		"systemctl show -P WatchdogUSec dray":   "2min",
	} {
		if got := s.sh(t, command); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

func (s server) isolates(t *testing.T) {
	got := s.w.Dray(t, 0, "exec", "prod", "web", "--", "sh", "-c",
		"cat /proc/1/comm; grep -E '^(Seccomp|NoNewPrivs|CapBnd):' /proc/1/status; cat /proc/self/cgroup; "+
			"echo 1 2>&1 >/proc/sys/kernel/hostname; mkdir /sys/fs/cgroup/x 2>&1; ls -d /proc/[0-9]* | wc -l").Stdout
	for _, want := range []string{"app\n", "Seccomp:\t2", "NoNewPrivs:\t1", "CapBnd:\t00000000a80425fb", "0::/\n", "Read-only file system"} {
		if !strings.Contains(got, want) {
			t.Errorf("inside there is no %q:\n%s", want, got)
		}
	}
	if strings.Count(got, "Read-only file system") != 2 {
		t.Errorf("it writes to the kernel's files:\n%s", got)
	}
}

// isArmoured looks that containers run under dray's AppArmor profile, commands in
// them too, and that the kernel enforces it: a process with every right that
// mounts need mounts nothing.
func (s server) isArmoured(t *testing.T) {
	if got := s.sh(t, "cat /sys/kernel/security/apparmor/profiles"); !strings.Contains(got, "dray-default (enforce)") {
		t.Fatalf("the profile is not loaded:\n%s", got)
	}
	const label = "dray-default (enforce)"
	got := s.w.Dray(t, 0, "exec", "prod", "web", "--", "cat", "/proc/1/attr/current", "/proc/self/attr/current").Stdout
	if strings.Count(got, label) != 2 {
		t.Errorf("the container and a command in it are %q", got)
	}
	// Root of the host, without a namespace or a capability less, and the profile.
	const mounts = `sh -c 'echo "exec dray-default" >/proc/self/attr/exec; exec mount -t tmpfs none /mnt' 2>&1; mountpoint /mnt; true`
	// mount tries again read-only when it may not, and says that.
	if got := s.sh(t, mounts); !strings.Contains(got, "cannot mount") || !strings.Contains(got, "not a mountpoint") {
		t.Errorf("a confined process mounted: %q", got)
	}
	if got := s.w.Dray(t, 0, "host", "check").Stdout; !strings.Contains(got, "AppArmor") || strings.Contains(got, "AppArmor (") {
		t.Errorf("host check says of AppArmor: %s", got)
	}
}

// limits are the cgroup files that dray writes, of all containers.
const limits = "cd /sys/fs/cgroup/dray && grep -H . */memory.max */memory.swap.max */cpu.max */pids.max | sort"

func (s server) hasLimits(t *testing.T) {
	got := s.sh(t, limits)
	for _, want := range []string{"/memory.max:67108864\n", "/memory.swap.max:0\n", "/cpu.max:50000 100000\n", "/pids.max:64"} {
		if strings.Count(got+"\n", want) != 2 {
			t.Errorf("not both have %q:\n%s", want, got)
		}
	}
	// No process may be where groups are: cgroups(7), "no internal processes".
	if got := s.sh(t, "cat /sys/fs/cgroup/dray/cgroup.procs"); got != "" {
		t.Errorf("processes beside the containers: %s", got)
	}
}

func (s server) limitsMemory(t *testing.T) {
	_, _ = get(s.url + "/eat") // the answer never comes: it is killed
	eventually(t, time.Minute, "the kill being told", func() error {
		ps := s.w.Dray(t, 0, "ps", "prod", "--json").Stdout
		if !strings.Contains(ps, `"oom_killed":true`) && !strings.Contains(ps, `"restarts":1`) {
			return fmt.Errorf("ps: %s", ps)
		}
		return nil
	})
	s.healthy(t)
	if got := s.sh(t, "systemctl is-active dray; systemctl show -P NRestarts dray"); got != "active\n0" {
		t.Errorf("the agent's unit suffered: %s", got)
	}
}

func (s server) limitsPids(t *testing.T) {
	eventually(t, time.Minute, "a group at its limit", func() error {
		text, err := get(s.url + "/fork") // the answer may be later than anybody waits
		if started, parseErr := strconv.Atoi(text); err == nil && (parseErr != nil || started >= 64) {
			t.Errorf("it started %q processes; pids = 64", text)
		}
		events := s.sh(t, "grep -H . /sys/fs/cgroup/dray/*/pids.events /sys/fs/cgroup/dray/*/pids.peak")
		if !atLimit.MatchString(events) {
			return fmt.Errorf("%w\n%s", err, events)
		}
		return nil
	})
	eventually(t, 2*time.Minute, "its copies ended", func() error { _, err := get(s.url + "/up"); return err })
	s.healthy(t)
}

var atLimit = regexp.MustCompile(`pids\.events:max [1-9]`)

func (s server) tells(t *testing.T) {
	if got := s.w.Dray(t, 0, "exec", "prod", "web", "--", "echo", "hello").Stdout; got != "hello\n" {
		t.Errorf("exec: %q", got)
	}
	if got := s.w.Dray(t, 0, "logs", "prod", "web"); !strings.Contains(got.Stdout+got.Stderr, "app 1 listens on :8080") {
		t.Errorf("%s", got)
	}
	got := s.w.Dray(t, 0, "stats", "prod").Stdout
	if strings.Count(got, "67.1 MB") != 2 {
		t.Errorf("stats don't tell both limits:\n%s", got)
	}
	t.Logf("stats:\n%s", got)
}

// standsSystemd looks that what systemd does to its own groups leaves dray's.
func (s server) standsSystemd(t *testing.T) {
	before := s.sh(t, limits)
	s.sh(t, `systemctl daemon-reload; systemctl daemon-reexec
		systemctl set-property --runtime ssh.service CPUWeight=50 MemoryMax=infinity
		systemd-run --wait --quiet -p MemoryMax=64M -p CPUQuota=50% -p TasksMax=10 true
		systemctl revert ssh.service; systemctl daemon-reload`)
	if after := s.sh(t, limits); after != before {
		t.Errorf("limits changed:\n%s\n%s", before, after)
	}
	s.healthy(t)
}

// containersOf lists the containers' first processes with their start.
const containersOf = `for p in /proc/[0-9]*; do
	case $(tr '\0' ' ' < $p/cmdline 2>/dev/null) in /app*) cut -d' ' -f1,22 $p/stat;; esac
done | sort`

// agentEnds ends the agent, and looks that systemd starts another and that
// clients and containers notice nothing.
func (s server) agentEnds(t *testing.T, how string) {
	const agent = "systemctl show -P MainPID dray"
	before, pid := s.sh(t, containersOf), s.sh(t, agent)
	s.sh(t, how)
	s.serves(t, "1")
	eventually(t, time.Minute, "another agent", func() error {
		if now := s.sh(t, agent); now == pid || now == "0" {
			return fmt.Errorf("its process is %s", now)
		}
		return nil
	})
	s.healthy(t)
	if after := s.sh(t, containersOf); after != before {
		t.Errorf("containers changed:\n%s\n%s", before, after)
	}
}

// comesBack looks that the machine serves again with nobody connected.
func (s server) comesBack(t *testing.T, reboot func(context.Context) error) {
	began := time.Now()
	if err := reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("SSH answers after %s", time.Since(began).Round(100*time.Millisecond))
	eventually(t, 3*time.Minute, "the service, with nobody connected", func() error { _, err := get(s.url + "/up"); return err })
	t.Logf("the service answers after %s", time.Since(began).Round(100*time.Millisecond))
	s.serves(t, "2")
	s.healthy(t)
	s.hasLimits(t)
}

// endedInOrder looks that all instances got their stop signal and their time, with
// a shim that took their last words, when the machine went down.
func (s server) endedInOrder(t *testing.T) {
	if got := s.w.Dray(t, 0, "logs", "prod", "web"); strings.Count(got.Stdout+got.Stderr, "app 2 ended in order") != 2 {
		t.Errorf("not both instances could end in order: %s", got)
	}
	if got := s.sh(t, "journalctl -b -1 -u dray-containers --no-pager -o cat"); !strings.Contains(got, "because the host goes down") {
		t.Errorf("the unit that stops containers says: %s", got)
	}
}

func (s server) isLeftClean(t *testing.T) {
	s.w.Dray(t, 0, "down", "--yes", "prod")
	if got := s.sh(t, "find /sys/fs/cgroup/dray -mindepth 1 -type d; systemctl --failed --no-legend --plain; ip -br link show type bridge; ls /var/lib/dray/containers"); got != "" {
		t.Errorf("there is left: %s", got)
	}
	if got := s.sh(t, "journalctl -b -u dray -p warning --no-pager -o cat | tail -20"); got != "" {
		t.Logf("warnings of the unit:\n%s", got)
	}
}
