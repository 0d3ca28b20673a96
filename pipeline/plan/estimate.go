package plan

import (
	"time"

	"dray/pipeline"
)

// What the estimate assumes of hosts and the way to them.
const (
	assumedPrepare = 1.0  // seconds: connect, compare, create containers
	assumedStart   = 0.5  // seconds until a started instance answers
	assumedStop    = 1.0  // seconds for a container to stop before its successor starts
	assumedRate    = 10e6 // bytes a second to one host
)

// estimate returns the seconds that a deployment takes: preparing, with the
// bytes for the host that lacks most, and then the service with most batches,
// for services change side by side. A batch takes as long as an instance needs
// to start, to pass its first check and to be healthy for min_healthy_time.
// Draining overlaps with the next batch. Tasks, verify commands and people are
// named in Plan.Besides instead.
func (c *comparison) estimate() float64 {
	longest := 0.0
	services := servicesOf(&c.in.Desired)
	for name, outlook := range c.outlooks {
		longest = max(longest, rollout(services[name], outlook))
	}
	most := pipeline.Bytes(0)
	for _, bytes := range c.plan.Send {
		most = max(most, bytes)
	}
	return assumedPrepare + longest + float64(most)/assumedRate
}

// rollout returns the seconds that the batches of a service take.
func rollout(s *pipeline.Service, outlook Outlook) float64 {
	each := assumedStart + s.Update.MinHealthyTime.D().Seconds()
	if s.Checked() {
		each += min(s.Check.Interval.D(), time.Second).Seconds()
	}
	if outlook.StopsFirst {
		each += assumedStop
	}
	return float64(outlook.Batches) * each
}

// besides names what takes time that nobody can know.
func (c *comparison) besides() {
	for _, t := range c.in.Desired.Tasks {
		if t.Hook != "" {
			c.plan.Besides = append(c.plan.Besides, "task "+t.Name)
		}
	}
	for _, name := range c.in.Verify {
		c.plan.Besides = append(c.plan.Besides, "verify "+name)
	}
	for _, s := range c.in.Desired.Services {
		if c.outlooks[s.Name].Asks {
			c.plan.Besides = append(c.plan.Besides, "a yes after the canary of "+s.Name)
		}
	}
}
