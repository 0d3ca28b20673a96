package runtime

import (
	"context"

	"dray/pipeline"
)

// Halt is Stop for a host that goes down: the container stays Wanted, so that
// it runs again after the next boot, however it ends now. One that does not run
// is left as it is.
func (e *Engine) Halt(ctx context.Context, idOrName string) error {
	c, err := e.find(idOrName)
	if err != nil {
		return err
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	value := c.snapshot()
	halts := value.running() && value.Wanted
	if halts {
		c.set(func(v *Container) { v.Halted = true })
		e.keep(c)
	}
	c.release()
	if !halts {
		return nil
	}
	return e.stop(ctx, c, nil, true)
}

// RunsAgain says whether a container that has ended is to run again: nobody
// stopped it, and its policy has it run. What a shutdown ended ran till then, so
// its exit code says nothing about it.
func (c Container) RunsAgain() bool {
	if c.State != Exited || !c.Wanted {
		return false
	}
	switch c.Spec.Restart.Policy {
	case pipeline.RestartAlways:
		return true
	case pipeline.RestartOnFailure:
		return c.ExitCode != 0 || c.Error != "" || c.Halted
	default:
		return false
	}
}
