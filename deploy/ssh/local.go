package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"dray/pipeline/output"
)

// Local returns this machine as a Transport. Commands run as the calling user;
// what needs root goes through sudo -n, as on any host.
func Local(name string) *Machine {
	return &Machine{name: name, done: make(chan struct{})}
}

// Machine is this machine.
type Machine struct {
	name string
	counter
	closing sync.Once
	done    chan struct{}
}

var _ Transport = (*Machine)(nil)

// Name returns the host's name in the file.
func (m *Machine) Name() string { return m.name }

// Stats counts the bytes of commands' stdio.
func (m *Machine) Stats() Stats { return Stats{Sent: m.sent.Load(), Received: m.received.Load()} }

// Done is closed by Close.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Err is always nil: this machine is not lost.
func (m *Machine) Err() error { return nil }

// Close ends nothing but Done.
func (m *Machine) Close() error {
	m.closing.Do(func() { close(m.done) })
	return nil
}

// killAfter is how long a command may live on once its stdio is closed.
const killAfter = 3 * time.Second

// Start starts a command with sh.
func (m *Machine) Start(ctx context.Context, command string) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	cmd := exec.Command("/bin/sh", "-c", command) //nolint:gosec // a command is what this is for
	stderr := &output.Tail{}
	cmd.Stderr = stderr
	cmd.WaitDelay = killAfter
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting a command on %s: %w", m.name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting a command on %s: %w", m.name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a command on %s: %w", m.name, err)
	}
	wait := sync.OnceValue(cmd.Wait)
	stdio := &localStdio{machine: m, stdout: stdout, stdin: stdin, kill: func() { _ = cmd.Process.Kill() }, wait: wait}
	return &Process{
		Stdio: stdio, EOF: stdin.Close, Stderr: stderr,
		Wait: func() error { return localExit(wait(), stderr) },
	}, nil
}

func localExit(err error, stderr *output.Tail) error {
	var status *exec.ExitError
	if errors.As(err, &status) {
		return &ExitError{Code: status.ExitCode(), Stderr: stderr.String()}
	}
	return err
}

// localStdio is stdout and stdin of a command.
type localStdio struct {
	machine *Machine
	stdout  io.ReadCloser
	stdin   io.WriteCloser
	kill    func()
	wait    func() error
	closing sync.Once
}

// Read counts.
func (s *localStdio) Read(p []byte) (int, error) {
	n, err := s.stdout.Read(p)
	s.machine.received.Add(int64(n))
	return n, err
}

// Write counts.
func (s *localStdio) Write(p []byte) (int, error) {
	n, err := s.stdin.Write(p)
	s.machine.sent.Add(int64(n))
	return n, err
}

// Close closes both, and kills the command when it does not end by that.
func (s *localStdio) Close() error {
	s.closing.Do(func() {
		_ = s.stdin.Close()
		_ = s.stdout.Close()
		timer := time.AfterFunc(killAfter, s.kill)
		_ = s.wait() // Process.Wait reports how it ended
		timer.Stop()
	})
	return nil
}
