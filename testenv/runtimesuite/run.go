package runtimesuite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/console"
)

const (
	reference = "runc"
	tested    = "dray-oci"

	// fileTime bounds one file of tests. A test has no bound of its own: bats
	// makes a child for it, and some tests wait for all their children.
	fileTime = 10 * time.Minute

	// repeats is how often a test that runc passes and dray-oci fails is run
	// again by itself: some lose a race against a busy machine, with either.
	repeats = 2
)

// A Case is one test with both runtimes.
type Case struct {
	File, Name        string
	Reference, Tested Result
}

// Run runs the files whose names match pattern (a glob without ".bats"; ""
// matches all) and tells progress of each.
func (s *Suite) Run(ctx context.Context, pattern string, progress func(file string, cases []Case)) ([]Case, error) {
	if pattern == "" {
		pattern = "*"
	}
	files, err := filepath.Glob(filepath.Join(s.tests(), pattern+".bats"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no file of runc's tests matches %q", pattern)
	}
	defer func() { removeGroups() }()
	var all []Case
	for _, path := range files {
		cases, err := s.runFile(ctx, filepath.Base(path))
		if err != nil {
			return nil, err
		}
		progress(filepath.Base(path), cases)
		all = append(all, cases...)
	}
	return all, nil
}

// runFile runs one file with either runtime.
func (s *Suite) runFile(ctx context.Context, file string) ([]Case, error) {
	expected, err := s.bats(ctx, reference, file, "")
	if err != nil {
		return nil, err
	}
	got, err := s.bats(ctx, tested, file, "")
	if err != nil {
		return nil, err
	}
	var cases []Case
	for name, want := range expected {
		c := Case{File: file, Name: name, Reference: want, Tested: result(got, name)}
		for range repeats {
			if c.Reference.Outcome != Pass || c.Tested.Outcome == Pass {
				break
			}
			again, err := s.bats(ctx, tested, file, name)
			if err != nil {
				return nil, err
			}
			c.Tested = result(again, name)
		}
		cases = append(cases, c)
	}
	slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases, nil
}

func result(results map[string]Result, name string) Result {
	if r, ok := results[name]; ok {
		return r
	}
	return Result{Outcome: Missing}
}

// bats runs a file's tests, or the one called name, with a runtime. That some
// fail is no error here; that runc does not come to an end is, because then
// nothing can be compared.
func (s *Suite) bats(whole context.Context, runtime, file, name string) (map[string]Result, error) {
	ctx, stop := context.WithTimeout(whole, fileTime)
	defer stop()
	args := []string{"--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
		"sh", "-c", `ip link set lo up && exec bats --tap "$@"`, "sh"}
	if name != "" {
		args = append(args, "--filter", "^"+regexp.QuoteMeta(name)+"$")
	}
	cmd := exec.CommandContext(ctx, "unshare", append(args, file)...)
	cmd.Dir = s.tests()
	cmd.Env = append(os.Environ(), "RUNC="+s.runtimes[runtime], "TMPDIR="+s.path("tmp"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	end, err := giveTerminal(cmd)
	if err != nil {
		return nil, err
	}
	err = cmd.Run()
	end()
	results := readTAP(out.String())
	var failed *exec.ExitError
	switch {
	case err == nil || whole.Err() == nil && ctx.Err() != nil && runtime == tested:
		return results, nil // the tests that it did not come to are missing
	case !errors.As(err, &failed) || ctx.Err() != nil || len(results) == 0:
		return nil, fmt.Errorf("running %s with %s: %w\n%s", file, runtime, errors.Join(err, context.Cause(ctx)), out.String())
	}
	return results, nil
}

// giveTerminal makes cmd the leader of a session with a terminal of its own,
// which tests look for. What is written to it is dropped.
func giveTerminal(cmd *exec.Cmd) (end func(), err error) {
	terminal, path, err := console.NewPty()
	if err != nil {
		return nil, fmt.Errorf("making a terminal: %w", err)
	}
	stdin, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		_ = terminal.Close() // nothing has been written to it
		return nil, err
	}
	cmd.Stdin = stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	go func() { _, _ = io.Copy(io.Discard, terminal) }() // ends when the terminal is closed
	return func() {
		_ = stdin.Close()
		_ = terminal.Close()
	}, nil
}
