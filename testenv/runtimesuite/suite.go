package runtimesuite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const module = "github.com/opencontainers/runc"

// A Suite is a folder in which the tests can run.
type Suite struct {
	dir      string
	runtimes map[string]string // each runtime's program, by the name in the table
	lock     *os.File          // held as long as the process lives
}

// needs are the programs that the tests run.
var needs = []string{"bats", "busybox", "gawk", "gcc", "ip", "jq", "ldd", "tar", "unshare"}

// New prepares the tests in dir, which is empty, for the runtime oci.
func New(ctx context.Context, dir, oci string) (*Suite, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the tests of a runtime need root")
	}
	for _, program := range needs {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: make deps-runtime installs it", err)
		}
	}
	s := &Suite{dir: dir, runtimes: map[string]string{}}
	if err := s.acquire(); err != nil {
		return nil, err
	}
	// The tests of user namespaces reach their bundles as somebody else.
	if err := errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(s.path("tmp"), 0o777), os.Chmod(s.path("tmp"), 0o1777)); err != nil {
		return nil, err
	}
	if err := s.copyModule(ctx); err != nil {
		return nil, err
	}
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	if err := s.install("runc", s.path("runc", "runc-built")); err != nil {
		return nil, err
	}
	if err := s.install("dray-oci", oci); err != nil {
		return nil, err
	}
	return s, s.makeImages(ctx)
}

// acquire keeps other runs out: the tests' containers have the same names, and
// so the same groups, in each run.
func (s *Suite) acquire() error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "dray-runtime-suite.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close() // it is not held
		return fmt.Errorf("the tests of a runtime are being run already: %w", err)
	}
	s.lock = lock
	return nil
}

func (s *Suite) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// tests is the folder of the tests' files.
func (s *Suite) tests() string { return s.path("runc", "tests", "integration") }

// copyModule copies the source of the linked runc: the module cache can't be
// written to, and the tests keep their images beside themselves.
func (s *Suite) copyModule(ctx context.Context) error {
	if out, err := exec.CommandContext(ctx, "go", "mod", "download", module).CombinedOutput(); err != nil {
		return fmt.Errorf("downloading %s: %w: %s", module, err, out)
	}
	source, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("looking for %s: %w", module, err)
	}
	if err := os.CopyFS(s.path("runc"), os.DirFS(strings.TrimSpace(string(source)))); err != nil {
		return fmt.Errorf("copying %s: %w", module, err)
	}
	scripts, err := filepath.Glob(filepath.Join(s.tests(), "*.sh"))
	if err != nil {
		return err
	}
	for _, script := range scripts { // a module's files have lost their mode
		if err := os.Chmod(script, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// build makes runc and the programs of its tests, as runc's Makefile does.
func (s *Suite) build(ctx context.Context) error {
	programs := s.path("runc", "tests", "cmd", "_bin")
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"-tags", "seccomp netgo osusergo", "-ldflags", "-s -w -X main.gitCommit=module -linkmode external -extldflags -static", "-o", "runc-built", "."},
		{"-tags", "seccomp", "-o", programs, "./tests/cmd/..."},
	} {
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-buildvcs=false"}, args...)...)
		cmd.Dir = s.path("runc")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w: %s", args[len(args)-1], err, out)
		}
	}
	return nil
}

// install puts a runtime's program where the tests find it. It is called runc
// there, as callers install it: some tests look for that name.
func (s *Suite) install(name, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("installing %s: %w", name, err)
	}
	s.runtimes[name] = s.path("runtimes", name, "runc")
	if err := os.MkdirAll(filepath.Dir(s.runtimes[name]), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.runtimes[name], data, 0o755)
}
