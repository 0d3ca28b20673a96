package assembly

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"dray/targets/agent"
	"dray/targets/runtime"
)

// health asks containers itself, until there is supervision.
type health struct{ *runtime.Engine }

var _ agent.Health = health{}

// Wait implements agent.Health.
func (h health) Wait(ctx context.Context, id string, least time.Duration) error {
	var since time.Time
	last := fmt.Errorf("it was not tried")
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		c, err := h.Get(id)
		if err != nil {
			return err
		}
		if last = probe(ctx, c); last != nil {
			since = time.Time{}
		} else if since.IsZero() {
			since = time.Now()
		}
		if last == nil && time.Since(since) >= least {
			return nil
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}

func probe(ctx context.Context, c runtime.Container) error {
	if c.State != runtime.Running {
		return fmt.Errorf("it ended with code %d", c.ExitCode)
	}
	if c.Spec.Check == nil || c.Spec.Check.Port == 0 {
		return nil
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(c.Address.String(), strconv.Itoa(c.Spec.Check.Port)))
	if err != nil {
		return err
	}
	return conn.Close()
}
