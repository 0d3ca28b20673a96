package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/targets/api"
	"dray/targets/runtime"
)

// tooOften is how many times a container may end while it is waited for.
const tooOften = 3

// Wait waits until a container has been healthy for the time least; without a
// check, until it has run for that long. It fails with an *api.Error of
// CodeUnhealthy, whose Detail says what the container does instead, when ctx's
// deadline is over, when the container has ended and stays so, or when it has
// ended three times. Where ctx is cancelled it returns its cause.
func (s *Supervisor) Wait(ctx context.Context, id string, least time.Duration) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes := s.engine.Subscribe(watching)
	restarts := -1
	for {
		c, err := s.engine.Get(id)
		if err != nil {
			return fmt.Errorf("waiting until a container is healthy: %w", err)
		}
		if restarts < 0 {
			restarts = c.Restarts
		}
		if err := s.hopeless(c, c.Restarts-restarts); err != nil {
			return err
		}
		remaining, good := s.remaining(c, least)
		if good && remaining <= 0 {
			return nil
		}
		err = next(ctx, changes, id, remaining, good)
		if errors.Is(err, context.DeadlineExceeded) {
			return s.late(id)
		}
		if err != nil {
			return err
		}
	}
}

// next waits until the container has changed or, where it is good, the
// remaining time has passed.
func next(ctx context.Context, changes <-chan runtime.Change, id string, remaining time.Duration, good bool) error {
	var timer <-chan time.Time
	if good {
		t := time.NewTimer(remaining)
		defer t.Stop()
		timer = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer:
			return nil
		case change, ok := <-changes:
			if !ok {
				changes = nil // the engine has stopped watching; ctx or the timer ends this
			} else if change.Container.ID == id {
				return nil
			}
		}
	}
}

// remaining returns how much longer a container must stay as it is; good says
// whether it is well now.
func (s *Supervisor) remaining(c runtime.Container, least time.Duration) (_ time.Duration, good bool) {
	since := c.Started
	if c.Spec.Check != nil {
		if c.Health.Status != api.HealthHealthy {
			return 0, false
		}
		since = c.Health.Since
	}
	return least - time.Since(since), c.State == runtime.Running
}

// hopeless returns an error where waiting is of no use.
func (s *Supervisor) hopeless(c runtime.Container, restarts int) error {
	ended := c.State == runtime.Exited
	switch {
	case ended && c.Error != "" && c.Started.IsZero():
		return api.Errorf(api.CodeUnhealthy, "it could not be started: %s", c.Error)
	case ended && !c.Wanted:
		return api.Errorf(api.CodeUnhealthy, "it was stopped")
	case restarts >= tooOften || ended && restarts == tooOften-1:
		return api.Errorf(api.CodeUnhealthy, "it ended %d times, the last time %s", tooOften, manner(c))
	case ended && s.staysEnded(c):
		return api.Errorf(api.CodeUnhealthy, "it ended %s", manner(c))
	}
	return nil
}

// staysEnded says whether an ended container's policy leaves it so.
func (s *Supervisor) staysEnded(c runtime.Container) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.wards[c.ID]; w != nil && w.gaveUp {
		return true
	}
	var fresh backoff
	_, again := fresh.next(c, 0)
	return !again
}

// manner says how a container ended.
func manner(c runtime.Container) string {
	switch {
	case c.OOMKilled:
		return fmt.Sprintf("because it used more memory than its limit of %s", c.Spec.Resources.Memory)
	case c.Error != "":
		return fmt.Sprintf("with code %d: %s", c.ExitCode, c.Error)
	case c.ExitCode > 128:
		return fmt.Sprintf("with code %d (signal %d)", c.ExitCode, c.ExitCode-128)
	}
	return fmt.Sprintf("with code %d", c.ExitCode)
}

// late is the fault of a container whose time is over.
func (s *Supervisor) late(id string) error {
	c, err := s.engine.Get(id)
	if err != nil {
		return fmt.Errorf("waiting until a container is healthy: %w", err)
	}
	h := c.Health
	switch {
	case c.State == runtime.Exited:
		return api.Errorf(api.CodeUnhealthy, "it ended %s", manner(c))
	case c.State != runtime.Running:
		return api.Errorf(api.CodeUnhealthy, "it is %s", c.State)
	case c.Spec.Check == nil:
		return api.Errorf(api.CodeUnhealthy, "it has run for %v only", time.Since(c.Started).Round(time.Millisecond))
	case h.Last == "" && h.Status == api.HealthHealthy:
		return api.Errorf(api.CodeUnhealthy, "it has been healthy for %v only", time.Since(h.Since).Round(time.Millisecond))
	case h.Last == "":
		return api.Errorf(api.CodeUnhealthy, "its first check has not ended")
	}
	fault := api.Errorf(api.CodeUnhealthy, "%s (%s)", h.Last, tries(h.Tries))
	fault.Detail = diagnose(c)
	return fault
}

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}
