package runtime

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"dray/targets/runtime/shim"

	"golang.org/x/sys/unix"
)

// Start lets a created container run; one that has ended gets a new process
// over the same files. A running one is left as it is. From here on the
// container is Wanted.
func (e *Engine) Start(ctx context.Context, idOrName string) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	return e.start(ctx, c)
}

// StartWanted starts a container that has ended and that nobody has stopped
// since; it does nothing to another one. A Stop that comes before it holds.
// Few start at once: after a boot all containers of the host want to.
func (e *Engine) StartWanted(ctx context.Context, idOrName string) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	leave, err := e.starts.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	if value := c.snapshot(); value.State != Exited || !value.Wanted {
		return nil
	}
	return e.start(ctx, c)
}

// start is Start for whoever has acquired the container.
func (e *Engine) start(ctx context.Context, c *container) (err error) {
	value := c.snapshot()
	if value.State == Broken {
		return brokenError("starting", value)
	}
	if value.running() {
		if value.Wanted {
			return nil
		}
		// A Stop that was cut off had withdrawn the wish; the process may be
		// ending still, and must come back then.
		c.set(func(v *Container) { v.Wanted = true })
		e.keep(c)
		return nil
	}
	restarts := 0
	if value.State == Exited && value.Wanted && !value.Finished.IsZero() {
		restarts = value.Restarts + 1 // nobody stopped it: it is brought back
	}
	if value.State == Exited {
		err = e.prepare(ctx, c)
	}
	if err == nil {
		_, err = e.oci(ctx, e.toolOf(c.id), nil, "start", c.id)
	}
	if err != nil {
		return e.startFailed(context.WithoutCancel(ctx), c, restarts, err)
	}
	value = c.set(func(v *Container) {
		v.State, v.Wanted, v.Halted, v.Restarts, v.Started = Running, true, false, restarts, time.Now().UTC()
	})
	e.tell(value, "start")
	e.keep(c)
	return nil
}

func brokenError(what string, c Container) error {
	return fmt.Errorf("%s container %s: %w: it is broken (%s)", what, c.Spec.Name, ErrState, c.Error)
}

// startFailed clears a process away that never ran, and keeps the reason. A try
// to bring a container back counts as a restart whether it works or not, and
// what never ran has no start: whoever reckons from Started how long it ran
// would take a life of before for a good one.
func (e *Engine) startFailed(ctx context.Context, c *container, restarts int, cause error) error {
	value := c.set(func(v *Container) {
		v.State, v.Pid, v.Error, v.ExitCode, v.Restarts = Exited, 0, cause.Error(), 127, restarts
		v.Started, v.Finished = time.Time{}, time.Now().UTC()
	})
	c.process.close()
	undo := e.clearProcess(ctx, c.id)
	e.tell(value, "die")
	return errors.Join(fmt.Errorf("starting container %s: %w", c.snapshot().Spec.Name, cause), undo, e.save(c))
}

// noticeEnd is called when a container's shim has gone: the container has
// ended, or the shim was killed and its container must end too, since nobody
// can take its output or its exit any more. pid is the process that the shim
// had: the container may have another one by now, with a shim of its own.
func (e *Engine) noticeEnd(ctx context.Context, c *container, pid int) {
	if err := c.acquire(ctx); err != nil {
		return // it was removed meanwhile
	}
	defer c.release()
	value := c.snapshot()
	if !value.live() || value.Pid != pid || c.process.pid != pid {
		return // a verb has seen it already
	}
	var exit shim.Exit
	err := readJSON(filepath.Join(e.stateDir(c.id), shim.ExitName), &exit)
	var reason string
	if err != nil || exit.Pid != value.Pid {
		exit, reason = e.endOrphan(c)
	}
	e.ended(ctx, c, exit, reason)
}

// endOrphan ends a container whose shim was killed.
func (e *Engine) endOrphan(c *container) (shim.Exit, string) {
	_ = c.process.signal(unix.SIGKILL) // it may have ended by itself
	c.process.ended(10 * time.Second)
	exit := shim.Exit{Pid: c.process.pid, Code: 128 + int(unix.SIGKILL), At: time.Now().UTC()}
	return exit, "its shim was killed, so the container was ended too"
}

// ended enters an end that was noticed. The caller holds the container.
func (e *Engine) ended(ctx context.Context, c *container, exit shim.Exit, reason string) {
	neverRan := c.snapshot().State == Created
	c.process.close()
	value := c.set(func(v *Container) {
		v.State, v.Pid, v.Error = Exited, 0, firstOf(reason, v.ending)
		v.Finished, v.ExitCode, v.OOMKilled = exit.At, exit.Code, exit.OOMKilled
		v.Health = Health{}
		if neverRan {
			v.Finished = time.Time{}
		}
	})
	if exit.OOMKilled {
		e.tell(value, "oom")
	}
	e.tell(value, "die")
	e.forgetExecs(c.id)
	if err := e.clearProcess(ctx, c.id); err != nil {
		e.Log.Error("clearing up after a container", "container", value.Spec.Name, "error", err)
	}
	e.keep(c)
}
