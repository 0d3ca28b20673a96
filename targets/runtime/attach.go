package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"

	"dray/targets/logs"
	"dray/targets/runtime/shim"
)

// Attach joins the caller with a container's own streams, from now on, until
// it ends or ctx does. Input reaches only a container with OpenStdin; where it
// ends, the container's ends too, unless it has a terminal. ready, if it is not
// nil, is called when no later output can be missed.
func (e *Engine) Attach(ctx context.Context, idOrName string, streams Streams, ready func()) error {
	a, err := e.Join(idOrName, streams.Stdin != nil, streams.Stdout != nil, streams.Stderr != nil)
	if err != nil {
		return err
	}
	if ready != nil {
		ready()
	}
	return a.Copy(ctx, streams)
}

// Attachment is a hold of a container's streams: no output from then on is
// missed.
type Attachment struct{ shim *shim.Attachment }

// Join is the first half of Attach. The caller calls Copy, which ends it.
func (e *Engine) Join(idOrName string, stdin, stdout, stderr bool) (*Attachment, error) {
	c, err := e.find(idOrName)
	if err != nil {
		return nil, err
	}
	value := c.snapshot()
	if !value.live() {
		return nil, fmt.Errorf("attaching to container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
	}
	a, err := shim.Attach(e.runDir(c.id), stdin, stdout, stderr)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", value.Spec.Name, err)
	}
	return &Attachment{a}, nil
}

// Copy is the second half of Attach: it passes the streams on.
func (a *Attachment) Copy(ctx context.Context, streams Streams) error {
	stop := context.AfterFunc(ctx, func() { _ = a.shim.Close() })
	defer stop()
	defer a.shim.Close()
	if streams.Stdin != nil {
		go func() { // ends with the caller's input, or with the write after the container's end
			_, _ = io.Copy(a.shim, streams.Stdin)
			_ = a.shim.CloseWrite()
		}()
	}
	err := a.shim.Copy(streams.Stdout, streams.Stderr)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Close lets go of streams that Copy was not called for.
func (a *Attachment) Close() error { return a.shim.Close() }

// Resize sets the size of a container's terminal.
func (e *Engine) Resize(idOrName string, rows, cols uint16) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	value := c.snapshot()
	if !value.live() {
		return fmt.Errorf("resizing container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
	}
	return shim.Resize(e.runDir(c.id), rows, cols)
}

// Logs gives what a container printed to each, as logs.Read does. A query
// that follows ends when the container does.
func (e *Engine) Logs(ctx context.Context, idOrName string, q logs.Query, each func(logs.Record) error) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	if !q.Follow {
		return logs.Read(ctx, e.logDir(c.id), q, each)
	}
	ended := make(chan struct{})
	q.Ended = ended
	ctx, cancel := context.WithCancelCause(ctx)
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		if _, err := e.awaitEnd(ctx, c); err == nil {
			close(ended)
		}
	}()
	err = logs.Read(ctx, e.logDir(c.id), q, each)
	cancel(errors.New("the reading is over"))
	<-waited
	return err
}
