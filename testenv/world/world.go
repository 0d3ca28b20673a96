// Package world is dray as its users have it: the built programs, a lab of
// hosts, a mirror of base images and a project folder. Acceptance tests, the
// fault suite and the benchmarks start from it.
//
// Not here: hosts (testenv), clients that load a service (testenv/load).
package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dray/testenv"
	"dray/testenv/mirror"
)

// World is a lab, and a project to bring there.
type World struct {
	Lab     *testenv.Lab // nil: hosts of other kinds
	Mirror  *mirror.Mirror
	Project string // folder with dray.hcl
	Data    string // dray's data folder: images, builder
	Bin     string // folder with dray, drayd and dray-oci
	Env     []string
}

// New makes a lab and a world on it, which end with the test. The project
// folder is empty.
func New(t testing.TB, o testenv.Options) *World {
	t.Helper()
	lab := testenv.New(t, o)
	w := Reaching(t, lab.SSHConfig)
	w.Lab = lab
	return w
}

// Reaching makes a world that ends with the test, without a lab: its hosts are
// those of an ssh_config(5). The project folder is empty.
func Reaching(t testing.TB, sshConfig string) *World {
	t.Helper()
	m, err := mirror.Start(context.WithoutCancel(t.Context()), mirror.CacheDir())
	if err != nil {
		t.Fatalf("starting the mirror: %v", err)
	}
	w := &World{Bin: Programs(t), Project: t.TempDir(), Data: shortTempDir(t), Mirror: m}
	t.Cleanup(func() {
		if result := w.Run(context.Background(), "builder", "stop"); result.Code != 0 {
			t.Errorf("stopping the builder: %s", result.Stderr)
		}
		m.Close()
	})
	w.Env = w.environ(sshConfig)
	return w
}

// Make makes a world of a lab and a mirror that the caller has, for a command.
// Project and Data are folders in dir, whose path must be short: sockets live
// there. The world ends with what it is made of; Run "builder stop" first.
func Make(bin, dir string, lab *testenv.Lab, m *mirror.Mirror) (*World, error) {
	w := &World{Lab: lab, Mirror: m, Bin: bin, Project: filepath.Join(dir, "project"), Data: filepath.Join(dir, "data")}
	for _, d := range []string{w.Project, w.Data} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	w.Env = w.environ(lab.SSHConfig)
	return w, nil
}

// environ is what dray runs with: nothing of the user's own settings.
func (w *World) environ(sshConfig string) []string {
	return append(os.Environ(),
		"DRAY_SSH_CONFIG="+sshConfig, "DRAY_DATA_DIR="+w.Data, "DRAY_MIRRORS=docker.io=http://"+w.Mirror.Addr(),
		"DRAY_CONFIG=", "XDG_CONFIG_HOME="+w.Data, "PATH="+w.Bin+":"+os.Getenv("PATH"), "NO_COLOR=1", "USER=tester",
	)
}

// shortTempDir is a temporary folder whose sockets have room for their names.
func shortTempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "dray")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return dir
}

var programs struct {
	once sync.Once
	dir  string
	err  error
}

// Programs returns the folder with the built programs: $DRAY_TEST_BIN, or the
// checkout's bin after make build.
func Programs(t testing.TB) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir = os.Getenv("DRAY_TEST_BIN"); programs.dir != "" {
			return
		}
		root, err := Checkout()
		if err != nil {
			programs.err = err
			return
		}
		programs.dir = filepath.Join(root, "bin")
		if out, err := exec.Command("make", "-C", root, "build").CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("make build: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.dir
}

// Checkout is the folder of go.mod.
func Checkout() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Result is how a run of dray ended.
type Result struct {
	Args   []string
	Code   int
	Stdout string
	Stderr string
	Took   time.Duration
}

// String is the run as a person would have seen it.
func (r Result) String() string {
	return fmt.Sprintf("dray %s: exit %d after %s\n%s%s", strings.Join(r.Args, " "), r.Code, r.Took.Round(time.Millisecond), r.Stdout, r.Stderr)
}

// Command prepares a run of dray in the project's folder.
func (w *World) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(w.Bin, "dray"), args...)
	cmd.Dir, cmd.Env = w.Project, w.Env
	return cmd
}

// Run runs dray to its end.
func (w *World) Run(ctx context.Context, args ...string) Result {
	cmd := w.Command(ctx, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	began := time.Now()
	err := cmd.Run()
	r := Result{Args: args, Stdout: out.String(), Stderr: errOut.String(), Took: time.Since(began)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil:
		r.Code, r.Stderr = -1, r.Stderr+err.Error()
	}
	return r
}

// Dray runs dray and fails the test unless it ends with that code.
func (w *World) Dray(t testing.TB, code int, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r := w.Run(ctx, args...)
	if r.Code != code {
		t.Fatalf("want exit %d; %s", code, r)
	}
	return r
}

// Status is one environment, a line of dray status --json.
type Status struct {
	Environment string            `json:"environment"`
	Release     int               `json:"release"`
	Revision    int               `json:"revision"`
	Images      map[string]string `json:"images"`
	Services    map[string]string `json:"services"`
	Notes       []string          `json:"notes"`
}

// Status asks dray what runs where, by environment.
func (w *World) Status(t testing.TB) map[string]Status {
	t.Helper()
	r := w.Dray(t, 0, "status", "--json")
	out := map[string]Status{}
	for line := range strings.Lines(r.Stdout) {
		var s Status
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("reading %s: %v", r, err)
		}
		out[s.Environment] = s
	}
	return out
}

// Write puts files into the project, with their folders.
func (w *World) Write(t testing.TB, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(w.Project, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// Example copies an example of the checkout into the project.
func (w *World) Example(t testing.TB, name string) {
	t.Helper()
	root, err := Checkout()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(w.Project, os.DirFS(filepath.Join(root, "examples", name))); err != nil {
		t.Fatalf("copying examples/%s: %v", name, err)
	}
}

// Replace changes text in a file of the project; it must be there.
func (w *World) Replace(t testing.TB, file, old, with string) {
	t.Helper()
	path := filepath.Join(w.Project, file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), old, with)), 0o644); err != nil {
		t.Fatal(err)
	}
}
