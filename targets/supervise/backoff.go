package supervise

import (
	"time"

	"dray/targets/runtime"
)

// Bounds of the delay before a restart.
const (
	firstDelay = 500 * time.Millisecond // where the container's Spec has none
	lastDelay  = time.Minute
)

// backoff counts the restarts of a container that keeps ending.
type backoff struct {
	delay time.Duration // before the last restart
	tries int           // restarts since it last ran well
}

// next returns how long to wait before an ended container is started again;
// ok is false where its policy leaves it ended. The delay doubles from one
// restart to the next, up to a minute. A container that ran for ten times its
// delay, or for a minute, begins anew; one that could not be started did not run.
func (b *backoff) next(c runtime.Container, ran time.Duration) (wait time.Duration, ok bool) {
	policy := c.Spec.Restart
	if !c.RunsAgain() {
		return 0, false
	}
	if b.tries > 0 && !c.Started.IsZero() && ran >= min(10*b.delay, lastDelay) {
		*b = backoff{}
	}
	if policy.Attempts > 0 && b.tries >= policy.Attempts {
		return 0, false
	}
	b.tries++
	if b.tries > 1 {
		b.delay = min(2*b.delay, lastDelay)
		return b.delay, true
	}
	b.delay = policy.Delay.D()
	if b.delay <= 0 {
		b.delay = firstDelay
	}
	return b.delay, true
}
