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
// again with the first success.
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
	for wait := firstPause; ; {
		err := s.once(ctx, c, check)
		if ctx.Err() != nil {
			return
		}
		h = judge(h, check, err, time.Now(), patience)
		s.note(c, h)
		if h.Status != api.HealthStarting {
			wait = check.Interval.D()
		}
		if !pause(ctx, wait) {
			return
		}
		wait = min(wait*5/4, check.Interval.D())
	}
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
