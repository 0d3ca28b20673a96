package supervise

import (
	"context"
	"fmt"
	"time"

	"dray/pipeline"
	"dray/targets/api"
	"dray/targets/runtime"
)

// Defaults of a check whose Spec leaves them out.
const (
	defaultInterval = time.Second
	defaultTimeout  = 5 * time.Second
	defaultRetries  = 3
)

// firstPause is the time between the first two checks of a container that
// starts. It grows by a quarter each time, up to the interval, so that one
// that is ready soon is seen soon.
const firstPause = 50 * time.Millisecond

// watch checks a running container until ctx ends.
//
// A container is starting until a check succeeds; it becomes unhealthy when
// its start period is over and as much time has passed as its retries take.
// Later it becomes unhealthy after that many failures in a row, and healthy
// again with the first success. One that is unhealthy for as long as its check's
// RestartAfter is ended, and its restart policy brings it back.
func (s *Supervisor) watch(ctx context.Context, c runtime.Container) {
	h := runtime.Health{Status: api.HealthStarting, Since: time.Now()}
	if c.Spec.Check == nil {
		h.Status = api.HealthNone
		s.note(c, h)
		return
	}
	check := withDefaults(*c.Spec.Check)
	s.note(c, h)
	patience := time.Now().Add(check.StartPeriod.D() + time.Duration(check.Retries)*check.Interval.D())
	var well time.Duration // how long it was healthy before it became unhealthy
	for wait := firstPause; ; {
		err := s.once(ctx, c, check)
		if ctx.Err() != nil {
			return
		}
		before := h
		h = judge(h, check, err, time.Now(), patience)
		s.note(c, h)
		if before.Status == api.HealthHealthy && h.Status == api.HealthUnhealthy {
			well = h.Since.Sub(before.Since)
		}
		if overdue(h, check) && s.endUnhealthy(ctx, c, h, well) {
			return
		}
		if h.Status != api.HealthStarting {
			wait = check.Interval.D()
		}
		if !pause(ctx, wait) {
			return
		}
		wait = min(wait*5/4, check.Interval.D())
	}
}

// overdue says that a container has been unhealthy for longer than its check
// allows.
func overdue(h runtime.Health, check runtime.Check) bool {
	return check.RestartAfter > 0 && h.Status == api.HealthUnhealthy && time.Since(h.Since) >= check.RestartAfter.D()
}

// endUnhealthy ends a container that has been unhealthy for too long, and says
// whether it has ended. However long it ran, only the time in which it was
// healthy, well, counts as a good run: one that never gets well is restarted less
// and less often.
func (s *Supervisor) endUnhealthy(ctx context.Context, c runtime.Container, h runtime.Health, well time.Duration) bool {
	since := pipeline.Duration(time.Since(h.Since).Round(time.Second))
	s.log.Info("ending an unhealthy container, to start it again", "container", c.Spec.Name, "unhealthy", since, "last", h.Last)
	s.mu.Lock()
	if w := s.wards[c.ID]; w != nil && w.running.Equal(c.Started) {
		w.healthy = well
	}
	s.mu.Unlock()
	err := s.engine.End(context.WithoutCancel(ctx), c.ID, fmt.Sprintf("it was unhealthy for %v: %s", since, h.Last))
	if err != nil {
		s.log.Error("ending an unhealthy container", "container", c.Spec.Name, "error", err)
	}
	return err == nil
}

// once is one check within its timeout.
func (s *Supervisor) once(ctx context.Context, c runtime.Container, check runtime.Check) error {
	timeout := check.Timeout.D()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", pipeline.Duration(timeout)))
	defer cancel()
	c.Spec.Check = &check
	return s.probe(ctx, c)
}

// judge returns the health after one more check.
func judge(h runtime.Health, check runtime.Check, err error, now, patience time.Time) runtime.Health {
	h.Tries++
	status := h.Status
	if err == nil {
		h.Failing, h.Last, status = 0, "", api.HealthHealthy
	} else {
		h.Failing++
		h.Last = err.Error()
		switch {
		case h.Status == api.HealthStarting && !now.Before(patience),
			h.Status == api.HealthHealthy && h.Failing >= check.Retries:
			status = api.HealthUnhealthy
		}
	}
	if status != h.Status {
		h.Status, h.Since = status, now
	}
	return h
}

func (s *Supervisor) note(c runtime.Container, h runtime.Health) {
	if err := s.engine.SetHealth(c.ID, h); err != nil {
		s.log.Warn("noting a container's health", "container", c.Spec.Name, "error", err)
	}
}

func withDefaults(c runtime.Check) runtime.Check {
	if c.Interval <= 0 {
		c.Interval = pipeline.Duration(defaultInterval)
	}
	if c.Timeout <= 0 {
		c.Timeout = pipeline.Duration(defaultTimeout)
	}
	if c.Retries <= 0 {
		c.Retries = defaultRetries
	}
	return c
}
