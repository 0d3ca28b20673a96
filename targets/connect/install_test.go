package connect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is a stand-in for drayd, built once: its agent listens, the rest is
// this package.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "dray-stand-in-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/drayd", "../../deploy/ssh/testdata/drayd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir + "/drayd", nil
})

// upload puts an unpacked bundle where deploy/ssh does.
func upload(t *testing.T, mark string) InstallOptions {
	t.Helper()
	if err := os.MkdirAll(binDir, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(binDir, ".new-")
	if err != nil {
		t.Fatal(err)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	drayd, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest{Version: "1.0.0", API: 1, Arch: "amd64", Files: map[string]string{}}
	for name, text := range map[string][]byte{"drayd": drayd, "dray-oci": []byte(mark)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		m.Files[name] = "sha256:" + hex.EncodeToString(sum[:])
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifestName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return InstallOptions{From: dir, Digest: "sha256:" + hex.EncodeToString(sum[:])}
}

// clean removes dray before and after a test.
func clean(t *testing.T) {
	t.Helper()
	remove := func() {
		if err := Uninstall(context.Background(), UninstallOptions{Purge: true, Kernel: clearKernel}); err != nil {
			t.Error(err)
		}
	}
	remove()
	t.Cleanup(remove)
}

func TestInstall(t *testing.T) {
	clean(t)
	o := upload(t, "one")
	done, err := Install(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if done.Service != "sysv" || !done.StartsAtBoot {
		t.Errorf("Install: %+v", done)
	}
	first, err := agentPid()
	if err != nil || first == 0 {
		t.Fatalf("the agent does not run: %d %v", first, err)
	}
	if _, err := Install(t.Context(), InstallOptions{Digest: o.Digest}); err != nil {
		t.Errorf("again: %v", err)
	}
	if pid, _ := agentPid(); pid != first {
		t.Errorf("installing the same again restarted the agent")
	}
	two := upload(t, "two")
	if _, err := Install(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	if pid, _ := agentPid(); pid == first {
		t.Errorf("installing another bundle left the agent")
	}
	if h := installed(); h.Bundle != two.Digest || h.Version != "1.0.0" {
		t.Errorf("current: %+v", h)
	}
	if err := Uninstall(t.Context(), UninstallOptions{}); err != nil {
		t.Error(err)
	}
	if exists(binDir) || !exists(stateDir) || exists(initScript) || agentAnswers() || keeperPid() != 0 {
		t.Error("Uninstall left something, or took the state")
	}
}

func TestInstallRefusesDamage(t *testing.T) {
	clean(t)
	good := upload(t, "one")
	if _, err := Install(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	before, err := agentPid()
	if err != nil {
		t.Fatal(err)
	}
	bad := upload(t, "two")
	if err := os.WriteFile(filepath.Join(bad.From, "dray-oci"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "dray-oci") {
		t.Errorf("a changed program: %v", err)
	}
	for _, o := range []InstallOptions{
		{Digest: "sha256:" + strings.Repeat("0", 64)},
		{Digest: "sha256:" + strings.Repeat("0", 64), From: bad.From},
		{Digest: "../../etc", From: bad.From},
	} {
		if _, err := Install(t.Context(), o); err == nil {
			t.Errorf("%+v was installed", o)
		}
	}
	if h := installed(); h.Bundle != good.Digest {
		t.Errorf("current is %+v", h)
	}
	if after, _ := agentPid(); after != before {
		t.Error("a refused installation touched the agent")
	}
}

// TestKeeper kills the agent, and tries a second keeper.
func TestKeeper(t *testing.T) {
	clean(t)
	if _, err := Install(t.Context(), upload(t, "one")); err != nil {
		t.Fatal(err)
	}
	first, err := agentPid()
	if err != nil {
		t.Fatal(err)
	}
	keeper := keeperPid()
	if keeper == 0 {
		t.Fatal("there is no keeper")
	}
	if err := Keep(t.Context()); err != nil { // returns at once
		t.Errorf("a second keeper: %v", err)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for pid, _ := agentPid(); pid == 0 || pid == first; pid, _ = agentPid() {
		if time.Now().After(deadline) {
			t.Fatal("the agent was not started again")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if keeperPid() != keeper {
		t.Error("the keeper changed")
	}
	if err := Service(t.Context(), "stop"); err != nil {
		t.Error(err)
	}
	if keeperPid() != 0 || agentAnswers() {
		t.Error("stop left something running")
	}
	if err := Service(t.Context(), "status"); err == nil {
		t.Error("status says that it runs")
	}
}

// manager puts a service manager's programs in front; they write down how they
// were called.
func manager(t *testing.T, names ...string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for _, name := range names {
		script := fmt.Sprintf("#!/bin/sh\necho %s \"$@\" >> %s\n", name, log)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return func() string {
		text, _ := os.ReadFile(log)
		return strings.TrimSpace(string(text))
	}
}

func TestServices(t *testing.T) {
	for _, x := range []struct {
		name, marker  string
		programs      []string
		install, stop string
		says          map[string]string // by file
	}{
		{"systemd", "/run/systemd/system", []string{"systemctl"},
			"systemctl daemon-reload\nsystemctl enable dray.service dray-containers.service\n" +
				"systemctl start --no-block dray-containers.service\nsystemctl restart dray.service",
			"systemctl disable --now dray-containers.service dray.service\nsystemctl daemon-reload",
			map[string]string{unitFile: "KillMode=process", haltUnitFile: "After=dray.service network.target"}},
		{"openrc", "/run/openrc", []string{"rc-update", "rc-service"},
			"rc-update add dray default\nrc-service dray restart", "rc-update del dray",
			map[string]string{initScript: "supervise-daemon"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			if err := os.MkdirAll(x.marker, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(x.marker) })
			if err := os.WriteFile("/usr/sbin/openrc-run", nil, 0o755); err != nil {
				t.Fatal(err)
			}
			calls := manager(t, x.programs...)
			s := detectService()
			if s.name != x.name {
				t.Fatalf("detected %s", s.name)
			}
			if err := s.install(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := calls(); got != x.install {
				t.Errorf("called:\n%s\nwant:\n%s", got, x.install)
			}
			for file, says := range x.says {
				text, err := os.ReadFile(file)
				if err != nil || !bytes.Contains(text, []byte(says)) {
					t.Errorf("%s: %s %v", file, text, err)
				}
			}
			if err := s.remove(t.Context()); err != nil {
				t.Error(err)
			}
			if got := strings.TrimPrefix(calls(), x.install+"\n"); got != x.stop {
				t.Errorf("removing called %s", got)
			}
			for file := range x.says {
				if exists(file) {
					t.Errorf("%s is left", file)
				}
			}
		})
	}
	t.Run("sysv without update-rc.d", func(t *testing.T) {
		manager(t)
		s := detectService()
		if err := s.install(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !StartsAtBoot() || !exists("/etc/rc6.d/K20dray") {
			t.Error("no links in the run levels")
		}
		if err := s.remove(t.Context()); err != nil || StartsAtBoot() {
			t.Errorf("remove: %v", err)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"version":"1","api":1,"arch":"amd64","files":{"drayd":"sha256:0","dray-oci":"sha256:1"}}`))
	f.Add([]byte(`{"files":{"../drayd":"x"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		for name := range m.Files {
			if strings.ContainsRune(name, '/') || name == "." || name == ".." || name == "" {
				t.Errorf("accepted the name %q", name)
			}
		}
	})
}

// TestSysvScript: what stops the agent by hand leaves containers, what stops it
// because the machine goes down does not.
func TestSysvScript(t *testing.T) {
	script := filepath.Join(t.TempDir(), "dray")
	text := strings.Replace(sysvText, "drayd=/var/lib/dray/bin/current/drayd", "drayd=echo", 1)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ verb, runlevel, want string }{
		{"start", "2", "service start"}, {"stop", "", "service stop"}, {"stop", "1", "service stop"},
		{"stop", "0", "shutdown"}, {"stop", "6", "shutdown"}, {"restart", "", "service restart"},
	} {
		cmd := exec.Command("/bin/sh", script, x.verb)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "RUNLEVEL=" + x.runlevel}
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != x.want {
			t.Errorf("%s in run level %q: %q (%v), want %q", x.verb, x.runlevel, out, err, x.want)
		}
	}
}
