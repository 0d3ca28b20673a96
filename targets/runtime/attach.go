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
// ends, the container's ends too, unless it has a terminal. ready, if it is
// not nil, is called when no later output can be missed.
func (e *Engine) Attach(ctx context.Context, idOrName string, streams Streams, ready func()) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	value := c.snapshot()
	if !value.live() {
		return fmt.Errorf("attaching to container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
	}
	a, err := shim.Attach(e.runDir(c.id), streams.Stdin != nil, streams.Stdout != nil, streams.Stderr != nil)
	if err != nil {
		return fmt.Errorf("container %s: %w", value.Spec.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = a.Close() })
	defer stop()
	defer a.Close()
	if ready != nil {
		ready()
	}
	if streams.Stdin != nil {
		go func() { // ends with the caller's input, or with the write after the container's end
			_, _ = io.Copy(a, streams.Stdin)
			_ = a.CloseWrite()
		}()
	}
	err = a.Copy(streams.Stdout, streams.Stderr)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

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
