package engineapi_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/targets/network"
	"dray/targets/runtime"
)

// TestDockerCLI drives the API with the real client.
func TestDockerCLI(t *testing.T) {
	w := newWorld(t)
	c := w.run("shop-prod-web-1.r42", "echo hello; echo oops >&2; sleep 1000", func(s *runtime.Spec) {
		s.Labels[runtime.LabelRelease] = "42"
		s.Resources = pipeline.Resources{Memory: 64 << 20, Pids: 50}
	})
	must(t, w.networks.Switch(t.Context(), network.Change{Set: []network.Service{{
		Network: "shop-prod", Name: "web", Ports: []network.Port{{Protocol: "tcp", To: 8080, Publish: 80}, {Protocol: "tcp", To: 9090, Publish: 81, Addresses: []string{"127.0.0.1"}}}, Backends: []network.Backend{{Address: c.Address}},
	}}}))
	const name = "shop-prod-web-1.r42"
	steps := []struct {
		args []string
		want []string // parts of the output
		code int
	}{
		{[]string{"version"}, []string{"Engine:", "drayd", "Version:          0.1"}, 0},
		{[]string{"info"}, []string{"Server Version: 0.1", "Running: 1", "Name: p1"}, 0},
		{[]string{"ps"}, []string{name, "busybox:1.0", "Up ", "0.0.0.0:80->8080/tcp", "127.0.0.1:81->9090/tcp", `"sh -c 'echo hello; …"`}, 0},
		{[]string{"ps", "-q", "--no-trunc", "--filter", "label=dray.service=web", "--filter", "status=running"}, []string{c.ID}, 0},
		{[]string{"ps", "-q", "--filter", "label=dray.service=db"}, nil, 0},
		{[]string{"logs", name}, []string{"hello\n", "oops\n"}, 0},
		{[]string{"logs", "--tail", "0", name}, nil, 0},
		{[]string{"logs", "-t", "--tail", "1", name}, []string{"Z "}, 0},
		{[]string{"exec", name, "echo", "from", "exec"}, []string{"from exec\n"}, 0},
		{[]string{"exec", name, "sh", "-c", "exit 7"}, nil, 7},
		{[]string{"exec", "-e", "A=b", "-w", "/tmp", name, "sh", "-c", "echo $A $PWD"}, []string{"b /tmp\n"}, 0},
		{[]string{"exec", "-d", name, "touch", "/tmp/detached"}, nil, 0},
		{[]string{"inspect", "-f", "{{.State.Status}} {{.Name}} {{.HostConfig.Memory}} {{json .NetworkSettings.Ports}}", name},
			[]string{"running /" + name + ` 67108864 {"8080/tcp":[{"HostIp":"0.0.0.0","HostPort":"80"}],"9090/tcp":[{"HostIp":"127.0.0.1","HostPort":"81"}]}`}, 0},
		{[]string{"inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}", name}, []string{c.Address.String() + " 10.209.0.1"}, 0},
		{[]string{"port", name}, []string{"8080/tcp -> 0.0.0.0:80"}, 0},
		{[]string{"top", name}, []string{"PID", "sleep 1000"}, 0},
		{[]string{"stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}"}, []string{name, "/ 64MiB"}, 0},
		{[]string{"images"}, []string{"busybox", "1.0", "111111111111"}, 0},
		{[]string{"image", "inspect", "-f", "{{.Architecture}} {{.Config.Cmd}}", "busybox:1.0"}, []string{"amd64 [sh -c echo default]"}, 0},
		{[]string{"network", "ls"}, []string{"shop-prod", "bridge"}, 0},
		{[]string{"network", "inspect", "shop-prod"}, []string{"10.209.0.0/24", name}, 0},
		{[]string{"volume", "ls"}, []string{"DRIVER"}, 0},
		{[]string{"system", "df"}, []string{"Images          1", "Containers      1"}, 0},
		{[]string{"pause", name}, []string{name}, 0},
		{[]string{"ps"}, []string{"(Paused)"}, 0},
		{[]string{"exec", name, "true"}, []string{"is paused"}, 1},
		{[]string{"unpause", name}, []string{name}, 0},
		{[]string{"rm", name}, []string{"belongs to release 42"}, 1},
		{[]string{"stop", "-t", "0", name}, []string{name}, 0},
		{[]string{"ps"}, []string{"CONTAINER ID"}, 0},
		{[]string{"ps", "-a"}, []string{"Exited (137)"}, 0},
		{[]string{"wait", name}, []string{"137\n"}, 0},
		{[]string{"exec", name, "true"}, []string{"is not running"}, 1},
		{[]string{"start", name}, []string{name}, 0},
		{[]string{"restart", "-t", "0", name}, []string{name}, 0},
		{[]string{"kill", "-s", "KILL", name}, []string{name}, 0},
		{[]string{"kill", "-s", "FOO", name}, []string{"nvalid signal: FOO"}, 1},
		{[]string{"rename", name, "other"}, []string{"dray does not do this"}, 1},
		{[]string{"pull", "alpine"}, []string{"images come to a host with a deployment"}, 1},
		{[]string{"inspect", "nothing"}, []string{"o such object: nothing"}, 1},
		{[]string{"logs", "nothing"}, []string{"No such container: nothing"}, 1},
		{[]string{"rm", "-f", name}, []string{name}, 0},
		{[]string{"ps", "-aq"}, nil, 0},
	}
	for _, s := range steps {
		out, code := w.docker(s.args...)
		if code != s.code {
			t.Errorf("docker %s: exit code %d, want %d\n%s", strings.Join(s.args, " "), code, s.code, out)
		}
		if s.want == nil && strings.TrimSpace(out) != "" {
			t.Errorf("docker %s: %q, want nothing", strings.Join(s.args, " "), out)
		}
		for _, part := range s.want {
			if !strings.Contains(out, part) {
				t.Errorf("docker %s:\n%swant %q in it", strings.Join(s.args, " "), out, part)
			}
		}
	}
}

// TestDockerRun creates containers of no release.
func TestDockerRun(t *testing.T) {
	w := newWorld(t)
	out, code := w.docker("run", "--rm", "busybox:1.0", "sh", "-c", "echo out; echo err >&2; exit 3")
	if !strings.Contains(out, "out\n") || !strings.Contains(out, "err\n") || code != 3 {
		t.Errorf("run: %q, exit code %d", out, code)
	}
	out, code = w.docker("run", "-d", "--name", "worker", "-e", "A=b", "-v", "data:/data", "--memory", "32m", "--restart", "on-failure:3", "--network", "none", "busybox:1.0", "sleep", "1000")
	if code != 0 || len(strings.TrimSpace(out)) != 64 {
		t.Errorf("run -d: %q, exit code %d", out, code)
	}
	c, err := w.engine.Get("worker")
	must(t, err)
	if c.Spec.Resources.Memory != 32<<20 || c.Spec.Restart != (pipeline.Restart{Policy: "on-failure", Attempts: 3}) || c.Spec.Network != "" || len(c.Spec.Mounts) != 1 {
		t.Errorf("its spec: %+v", c.Spec)
	}
	out, code = w.docker("run", "--rm", "--shm-size", "96m", "--tmpfs", "/x:size=2m", "--mount", "type=tmpfs,target=/y,tmpfs-size=3m", "busybox:1.0", "busybox", "df", "-k")
	for _, line := range []string{"98304", "2048", "3072"} {
		if code != 0 || !strings.Contains(out, line) {
			t.Errorf("no file system of %s kB (exit code %d):\n%s", line, code, out)
		}
	}
	out, code = w.docker("run", "--rm", "--init", "--security-opt", "no-new-privileges=false", "--security-opt", "seccomp=unconfined", "busybox:1.0", "busybox", "cat", "/proc/1/comm", "/proc/self/status")
	for _, line := range []string{"dray-init", "NoNewPrivs:\t0", "Seccomp:\t0"} {
		if code != 0 || !strings.Contains(out, line) {
			t.Errorf("--init and --security-opt: no %q (exit code %d):\n%s", line, code, out)
		}
	}
	for _, refused := range [][]string{
		{"-p", "80:80"}, {"--privileged"}, {"--network", "host"}, {"--ulimit", "nofile=10"}, {"--dns", "1.1.1.1"}, {"--tmpfs", "/x:huge=always"}, {"--pid", "host"}, {"--device", "/dev/fuse"}, {"--security-opt", "label=disable"}, {"--runtime", "crun"},
	} {
		out, code := w.docker(append(append([]string{"run", "--rm"}, refused...), "busybox:1.0", "true")...)
		if code != 125 || !strings.Contains(out, "dray does not do this") && !strings.Contains(out, "size=AMOUNT") {
			t.Errorf("run %s: %q, exit code %d; want it refused", strings.Join(refused, " "), out, code)
		}
	}
	if out, code := w.docker("run", "--rm", "--label", "dray.release=1", "busybox:1.0", "true"); code != 125 || !strings.Contains(out, "dray's own") {
		t.Errorf("a label of dray's: %q, %d", out, code)
	}
	eventually(t, "the first container removes itself", func() bool { return len(w.engine.List()) == 1 })
}

// TestTerminal has a terminal on both sides, which script(1) gives.
func TestTerminal(t *testing.T) {
	w := newWorld(t)
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("no script(1) here")
	}
	w.run("web", "sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	line := fmt.Sprintf("stty rows 33 cols 99; docker -H unix://%s exec -it web sh", w.socket)
	c := exec.CommandContext(ctx, "script", "-qec", line, "/dev/null")
	c.Stdin = strings.NewReader(`tty; until [ "$(stty size 2>/dev/null)" = "33 99" ]; do sleep 0.02; done; echo the size is right; exit 5` + "\n")
	out, err := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 5 {
		t.Errorf("exit code of the shell: %v", err)
	}
	for _, want := range []string{"/dev/pts/", "\nthe size is right"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q, want %q in it", out, want)
		}
	}
}

// TestStdin: the end of the input reaches the process, and its output the
// client after it.
func TestStdin(t *testing.T) {
	w := newWorld(t)
	w.run("web", "sleep 1000")
	for _, args := range [][]string{{"exec", "-i", "web", "sh", "-c", "cat; echo end"}, {"run", "-i", "--rm", "busybox:1.0", "sh", "-c", "cat; echo end"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		c := exec.CommandContext(ctx, "docker", append([]string{"-H", "unix://" + w.socket}, args...)...)
		c.Stdin = strings.NewReader(strings.Repeat("0123456789abcdef", 10000))
		out, err := c.Output()
		cancel()
		if err != nil || len(out) != 160000+len("end\n") || !strings.HasSuffix(string(out), "end\n") {
			t.Errorf("docker %s: %d bytes, %v", args[0], len(out), err)
		}
	}
}

// TestFollow follows a log and the events until the container ends.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	since := time.Now().Unix()
	w.run("web", "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done")
	out, code := w.docker("logs", "-f", "web")
	if code != 0 || !strings.HasSuffix(out, "line 4\nline 5\n") {
		t.Errorf("logs -f: %q, exit code %d", out, code)
	}
	out, _ = w.docker("events", "--since", fmt.Sprint(since), "--until", fmt.Sprint(time.Now().Unix()+1), "--filter", "container=web", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")
	for _, want := range []string{"create", "start", "die 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("events: %q, want %q in it", out, want)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); !condition(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it never came that %s", what)
		}
	}
}
