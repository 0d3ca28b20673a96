package confine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestProbeAppArmor(t *testing.T) {
	for name, tt := range map[string]struct{ enabled, parser, want string }{
		"no module":  {"", "", "not enabled in the kernel"},
		"off":        {"N\n", "sbin", "not enabled in the kernel"},
		"no parser":  {"Y\n", "", "enabled, but apparmor_parser is not installed, so no profile can be loaded"},
		"works":      {"Y\n", "sbin", Enforced},
		"merged usr": {"Y\n", "usr/sbin", Enforced},
	} {
		root := t.TempDir()
		write := func(path, text string) {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if tt.enabled != "" {
			write("sys/module/apparmor/parameters/enabled", tt.enabled)
		}
		if tt.parser != "" {
			write(tt.parser+"/apparmor_parser", "#!/bin/sh\n")
		}
		if got := probeAppArmor(root); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestProfileOf(t *testing.T) {
	for current, want := range map[string]string{
		"": "unconfined", "unconfined\n": "unconfined", "/usr/sbin/drayd (enforce)\n": "/usr/sbin/drayd", "a b (complain)": "a b",
	} {
		if got := profileOf(current); got != want {
			t.Errorf("%q: %q, want %q", current, got, want)
		}
	}
}

// TestProfile reads the profile's rules: what it must allow, and what deny. A
// path is denied if a pattern of a deny rule matches it; the patterns used are
// few enough to be matched here.
func TestProfile(t *testing.T) {
	text := Profile("dray-test", "/usr/lib/dray/drayd", filepath.Join(t.TempDir(), "none"))
	for _, want := range []string{
		"profile dray-test flags=(attach_disconnected, mediate_deleted) {", "deny mount,", "@{PROC}=/proc/",
		`signal (receive) peer="/usr/lib/dray/drayd",`, `signal (receive) peer="unconfined",`,
		`signal (send, receive) peer="dray-test",`, `ptrace (trace, tracedby, read, readby) peer="dray-test",`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "include") || strings.Contains(text, "abi <") {
		t.Errorf("it includes what the host does not have:\n%s", text)
	}
	denied := deniedWrites(t, text)
	for path, want := range map[string]bool{
		"/proc/sysrq-trigger": true, "/proc/kcore": true, "/proc/version": true, "/proc/sys/vm/drop_caches": true,
		"/proc/sys/kernel/core_pattern": true, "/proc/sys/kernel/sysrq": true, "/proc/sys/kernel/shared": true,
		"/proc/sys/kernel/shmmax": false, "/proc/sys/kernel/shm_rmid_forced": false, "/proc/sys/kernel/keys/root_maxkeys": true,
		"/proc/sys/net/core/somaxconn": true, "/proc/sys/kexec": true, "/proc/sys/kernel/sysrq_always": true, "/proc/irq/1/smp_affinity": true, "/proc/sysvipc/shm": true, "/proc/scsi/scsi": true, "/proc/bus/pci/x": true,
		"/proc/1/oom_score_adj": false, "/proc/12345/task/7/comm": false,
		"/sys/kernel/mm/ksm/run": true, "/sys/firmware/efi/x": true, "/sys/fs/bpf/x": true, "/sys/fs/cgroup/x/cgroup.procs": false,
		"/sys/class/net/eth0/mtu": true, "/sys/fs/cgroup": false,
		"/data/file": false, "/dev/null": false,
	} {
		if got := denied(path); got != want {
			t.Errorf("writing %s is denied: %v, want %v", path, got, want)
		}
	}
}

// deniedWrites returns what the deny rules of a profile say of a path, by
// apparmor.d(5): * is within a folder, ** goes deeper, [^…] is one character.
func deniedWrites(t *testing.T, text string) func(path string) bool {
	t.Helper()
	var patterns []string
	for line := range strings.Lines(text) {
		rule, ok := strings.CutPrefix(strings.TrimSpace(line), "deny ")
		pattern, access, isPath := strings.Cut(strings.TrimSuffix(rule, ","), " ")
		if ok && isPath && strings.Contains(access, "w") {
			pattern = strings.ReplaceAll(pattern, "@{PROC}", "/proc")
			patterns = append(patterns, pattern)
		}
	}
	if len(patterns) < 10 {
		t.Fatalf("%d patterns in\n%s", len(patterns), text)
	}
	return func(path string) bool {
		for _, p := range patterns {
			if matches(p, path) {
				return true
			}
		}
		return false
	}
}

func matches(pattern, path string) bool {
	switch {
	case pattern == "":
		return path == ""
	case strings.HasPrefix(pattern, "**"):
		for i := 0; i <= len(path); i++ {
			if matches(pattern[2:], path[i:]) {
				return true
			}
		}
		return false
	case pattern[0] == '*':
		for i := 0; i <= len(path); i++ {
			if matches(pattern[1:], path[i:]) {
				return true
			}
			if i < len(path) && path[i] == '/' {
				return false
			}
		}
		return false
	case path == "":
		return false
	case pattern[0] == '?':
		return path[0] != '/' && matches(pattern[1:], path[1:])
	case strings.HasPrefix(pattern, "[^"):
		end := strings.IndexByte(pattern, ']')
		set := pattern[2:end]
		if set == "1-9s" {
			set = "123456789s"
		}
		return !strings.ContainsRune(set, rune(path[0])) && path[0] != '/' && matches(pattern[end+1:], path[1:])
	}
	return pattern[0] == path[0] && matches(pattern[1:], path[1:])
}

// TestProfileCompiles has the distribution's own compiler read the profile.
func TestProfileCompiles(t *testing.T) {
	path := parser("/")
	if path == "" {
		t.Skip("apparmor_parser is not installed")
	}
	cmd := exec.Command(path, "--skip-kernel-load", "--skip-cache")
	cmd.Stdin = strings.NewReader(Profile("dray-test", "unconfined", "/etc/apparmor.d"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
