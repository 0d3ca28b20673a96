package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"dray/pipeline/output"
)

// Transport runs commands on one machine: a *Conn, or Local.
type Transport interface {
	// Name is the host's name in the file, for messages.
	Name() string
	// Start starts a command for sh. It runs until it ends, until Stdio is
	// closed, or until the Transport is; ctx bounds the start alone.
	Start(ctx context.Context, command string) (*Process, error)
	// Stats counts what travelled.
	Stats() Stats
	// Done is closed when the machine can't be reached any more; Err says why.
	Done() <-chan struct{}
	Err() error
	Close() error
}

// Stats are bytes on the wire since the connection began.
type Stats struct {
	Sent, Received int64
}

// Process is a running command.
type Process struct {
	Stdio  io.ReadWriteCloser // its stdout and stdin; Close ends it
	EOF    func() error       // closes its stdin alone
	Wait   func() error       // an ending with a code other than 0 is *ExitError
	Stderr *output.Tail
}

// ExitError is the end of a command that failed.
type ExitError struct {
	Code   int // -1: by a signal or by the loss of the connection
	Stderr string
}

// Error gives the code and the last words.
func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return fmt.Sprintf("exit code %d: %s", e.Code, e.Stderr)
}

const longestOutput = 16 << 20 // bytes of stdout that Run keeps

// Run runs a command to its end. When ctx ends first, the command is cut off.
// A failure is *ExitError; stdout and stderr are returned with it.
func Run(ctx context.Context, t Transport, command string, stdin io.Reader) (stdout, stderr []byte, err error) {
	p, err := t.Start(ctx, command)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Stdio.Close() })
	defer stop()
	fed := &source{r: stdin}
	var feeding sync.WaitGroup
	feeding.Go(func() {
		if stdin != nil {
			_, _ = io.Copy(p.Stdio, fed) // a command need not read all; what matters is fed.err
		}
		_ = p.EOF() // nor does one that has ended need the end of its input
	})
	output := make(chan readResult, 1)
	feeding.Go(func() {
		text, err := io.ReadAll(io.LimitReader(p.Stdio, longestOutput))
		output <- readResult{text, err}
	})
	var read readResult
	select {
	case read = <-output:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx) // what is left ends with the command, at the latest with t
	}
	err = p.Wait()
	_ = p.Stdio.Close() // ends the feeding of a command that did not read all
	feeding.Wait()
	stderr = []byte(p.Stderr.String())
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && fed.err != nil:
		err = fmt.Errorf("reading a command's input: %w", fed.err)
	case err == nil:
		err = read.err
	}
	return read.text, stderr, err
}

type readResult struct {
	text []byte
	err  error
}

// source remembers a fault of what it reads.
type source struct {
	r   io.Reader
	err error
}

// Read reads.
func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
