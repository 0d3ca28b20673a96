package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"
)

const (
	defaultGrace = 10 * time.Second
	killTime     = 10 * time.Second // a killed process that lives on so long is stuck in the kernel
)

// Stop asks a container to end with its stop signal, and kills it when grace
// is over; nil is the Spec's. It returns when the container has ended. One
// that does not run is only not Wanted any more.
func (e *Engine) Stop(ctx context.Context, idOrName string, grace *time.Duration) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	return e.stop(ctx, c, grace, false)
}

// stop is Stop; with keep the container stays Wanted, to be started again.
func (e *Engine) stop(ctx context.Context, c *container, grace *time.Duration, keep bool) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	value := c.snapshot()
	if value.State == Broken {
		c.release()
		return brokenError("stopping", value)
	}
	unwanted := value.Wanted && !keep
	if unwanted {
		value = c.set(func(v *Container) { v.Wanted = false })
	}
	if !value.running() {
		if unwanted {
			e.keep(c)
		}
		c.release()
		return nil
	}
	var err error
	if value.State == Paused { // a frozen process can't take a signal
		err = e.resume(ctx, c)
	}
	name := value.Spec.StopSignal
	if name == "" {
		name = e.imageStopSignal(ctx, value.Spec.Image)
	}
	ending, parseErr := ParseSignal(firstOf(name, "SIGTERM"))
	if parseErr != nil {
		ending = unix.SIGTERM // an image may say anything
	}
	if err == nil {
		err = ignoreEnded(c.process.signal(ending))
	}
	if unwanted {
		e.keep(c)
	}
	c.release()
	if err != nil {
		return fmt.Errorf("stopping container %s: %w", value.Spec.Name, err)
	}
	return e.awaitStop(ctx, c, graceOf(value.Spec, grace))
}

func graceOf(spec Spec, override *time.Duration) time.Duration {
	switch {
	case override != nil:
		return *override
	case spec.StopGrace > 0:
		return spec.StopGrace.D()
	default:
		return defaultGrace
	}
}

// awaitStop waits for the end, and kills when grace is over. A negative grace
// is without end.
func (e *Engine) awaitStop(ctx context.Context, c *container, grace time.Duration) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if grace >= 0 {
		waiting, cancel = context.WithTimeout(ctx, grace)
	}
	value, err := e.awaitEnd(waiting, c)
	cancel()
	if err != nil && ctx.Err() == nil {
		value, err = e.kill(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("stopping container %s: %w", value.Spec.Name, err)
	}
	e.tell(value, "stop")
	return nil
}

// kill kills a container's process and waits for the end.
func (e *Engine) kill(ctx context.Context, c *container) (Container, error) {
	if err := c.acquire(ctx); err != nil {
		return c.snapshot(), err
	}
	err := ignoreEnded(c.process.signal(unix.SIGKILL))
	if err == nil && c.snapshot().State == Paused {
		err = e.resume(ctx, c) // version 1 kills nothing that is frozen
	}
	c.release()
	if err != nil {
		return c.snapshot(), err
	}
	waiting, cancel := context.WithTimeout(ctx, killTime)
	defer cancel()
	return e.awaitEnd(waiting, c)
}

// awaitEnd waits until the container has no process.
func (e *Engine) awaitEnd(ctx context.Context, c *container) (Container, error) {
	for {
		value, _, removed, changed := c.watch()
		if !value.live() || removed {
			return value, nil
		}
		select {
		case <-ctx.Done():
			return value, context.Cause(ctx)
		case <-changed:
		}
	}
}

// ignoreEnded drops the error of signalling a process that has just ended.
func ignoreEnded(err error) error {
	if errors.Is(err, ErrState) {
		return nil
	}
	return err
}

// imageStopSignal is the STOPSIGNAL of an image, if it can be read.
func (e *Engine) imageStopSignal(ctx context.Context, digest string) string {
	image, err := e.Images.Config(ctx, digest)
	if err != nil {
		return "" // the image is gone, the container can still be stopped
	}
	return image.Config.StopSignal
}

// Kill sends a signal to a running container's process ("9", "KILL",
// "SIGKILL"; "" is SIGKILL). A container that is killed with SIGKILL is not
// Wanted any more.
func (e *Engine) Kill(ctx context.Context, idOrName, name string) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	s, err := ParseSignal(firstOf(name, "SIGKILL"))
	if err != nil {
		return err
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	value := c.snapshot()
	if !value.running() {
		return fmt.Errorf("killing container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
	}
	unwanted := s == unix.SIGKILL && value.Wanted
	if unwanted {
		value = c.set(func(v *Container) { v.Wanted = false })
	}
	err = c.process.signal(s)
	if unwanted {
		e.keep(c)
	}
	if err != nil {
		return fmt.Errorf("killing container %s: %w", value.Spec.Name, err)
	}
	if s == unix.SIGKILL && value.State == Paused {
		if err := e.resume(ctx, c); err != nil {
			return err
		}
	}
	e.tell(value, "kill")
	return nil
}

// ParseSignal reads "9", "KILL", "SIGKILL", "SIGRTMIN+3" or "SIGRTMAX-2".
func ParseSignal(name string) (unix.Signal, error) {
	s, err := signal.ParseSignal(name)
	if err != nil || s < 1 || s > 64 {
		return 0, fmt.Errorf("%q is not a signal", name)
	}
	return s, nil
}

// Restart stops a container and starts it again. It stays Wanted throughout.
func (e *Engine) Restart(ctx context.Context, idOrName string, grace *time.Duration) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	if err := e.stop(ctx, c, grace, true); err != nil {
		return err
	}
	if err := e.Start(ctx, c.id); err != nil {
		return err
	}
	e.tell(c.snapshot(), "restart")
	return nil
}

// Pause freezes a running container's processes.
func (e *Engine) Pause(ctx context.Context, idOrName string) error {
	return e.freeze(ctx, idOrName, Running, "pause", func(ctx context.Context, c *container) error {
		if _, err := e.oci(ctx, e.toolOf(c.id), nil, "pause", c.id); err != nil {
			return err
		}
		c.set(func(v *Container) { v.State = Paused })
		return nil
	})
}

// Unpause lets them go on.
func (e *Engine) Unpause(ctx context.Context, idOrName string) error {
	return e.freeze(ctx, idOrName, Paused, "unpause", e.resume)
}

func (e *Engine) freeze(ctx context.Context, idOrName string, from State, action string, do func(context.Context, *container) error) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	value := c.snapshot()
	if value.State != from {
		return fmt.Errorf("%s of container %s: %w: it is %s", action, value.Spec.Name, ErrState, value.State)
	}
	if err := do(ctx, c); err != nil {
		return fmt.Errorf("%s of container %s: %w", action, value.Spec.Name, err)
	}
	e.tell(c.snapshot(), action)
	e.keep(c)
	return nil
}

func (e *Engine) resume(ctx context.Context, c *container) error {
	if _, err := e.oci(ctx, e.toolOf(c.id), nil, "resume", c.id); err != nil {
		return err
	}
	c.set(func(v *Container) { v.State = Running })
	return nil
}

// Remove removes a container with all it wrote outside volumes. One that runs
// is refused, unless force is set: then it is killed.
func (e *Engine) Remove(ctx context.Context, idOrName string, force bool) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	value := c.snapshot()
	if value.State == Broken && !force {
		return brokenError("removing", value)
	}
	if value.running() {
		if !force {
			return fmt.Errorf("removing container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
		}
		if err := e.stopForRemoval(ctx, c); err != nil {
			return fmt.Errorf("removing container %s: %w", value.Spec.Name, err)
		}
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	value = c.snapshot()
	if value.running() { // started meanwhile
		return fmt.Errorf("removing container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
	}
	if err := e.discard(context.WithoutCancel(ctx), c); err != nil {
		return fmt.Errorf("removing container %s: %w", value.Spec.Name, err)
	}
	e.tell(value, "destroy")
	return nil
}

func (e *Engine) stopForRemoval(ctx context.Context, c *container) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	c.set(func(v *Container) { v.Wanted = false }) // or the policy would bring it back
	c.release()
	_, err := e.kill(ctx, c)
	return err
}
