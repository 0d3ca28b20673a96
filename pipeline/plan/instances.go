package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dray/pipeline"
)

// count fills in what happens to the instances of a service, host by host:
// each host may be at another release.
func (c *comparison) count(out *Change) {
	want := servicesOf(&c.in.Desired)[out.Name]
	from, to := map[string]string{}, map[string]string{}
	for _, h := range c.in.Hosts {
		wanted := instancesOf(c.in.Desired.Placement[h.Name], out.Name)
		var running []string
		if h.Current != nil {
			running = instancesOf(h.Current.Placement[h.Name], out.Name)
		}
		out.Instances += len(wanted)
		for _, i := range running {
			if !slices.Contains(wanted, i) {
				out.Removed++
				from[i] = h.Name
			}
		}
		for _, i := range wanted {
			switch {
			case !slices.Contains(running, i):
				out.Added++
				to[i] = h.Name
			case c.anotherContainer(h.Current, want):
				out.Replaced++
			}
		}
	}
	for _, i := range union(from, to) {
		if from[i] != "" && to[i] != "" {
			out.Moves = append(out.Moves, Move{Instance: i, From: from[i], To: to[i]})
		}
	}
}

// instancesOf returns the instances of one service.
func instancesOf(all []string, service string) []string {
	var out []string
	for _, i := range all {
		if name, _, _ := strings.Cut(i, "/"); name == service {
			out = append(out, i)
		}
	}
	return out
}

// anotherContainer reports whether a service in the desired release needs
// other containers than in the current one of a host.
func (c *comparison) anotherContainer(current *pipeline.Release, want *pipeline.Service) bool {
	have := servicesOf(current)[want.Name]
	if have == nil || current.Images[want.Name].Digest != c.in.Desired.Images[want.Name].Digest {
		return true
	}
	for _, s := range want.Secrets {
		if current.Secrets[s.Name] != c.in.Desired.Secrets[s.Name] {
			return true
		}
	}
	return slices.ContainsFunc(compareFields(have, want), func(f Field) bool { return needsContainer(f.Name) })
}

// needsContainer reports whether a field is part of the container, and not of
// how many there are, how they are replaced or where they are published.
func needsContainer(field string) bool {
	first, _, _ := strings.Cut(field, ".")
	published := first == "port" && strings.HasSuffix(field, ".publish")
	return first != "mode" && first != "count" && first != "update" && !published
}

// strategy returns how a service is updated, and why it is not what the file
// says.
func (c *comparison) strategy(s *pipeline.Service) Strategy {
	if given, ok := c.in.Strategies[s.Name]; ok && given.Name != "" {
		return given
	}
	if s.Update.Strategy == "" {
		return Strategy{Name: pipeline.StrategyRolling}
	}
	return Strategy{Name: s.Update.Strategy}
}

// how says in words how the instances change.
func (c *comparison) how(change Change, s *pipeline.Service) string {
	parts := []string{counted(change.Instances, "replica")}
	if s.Mode == pipeline.ModeGlobal {
		parts = []string{"one on each host"}
	}
	switch {
	case change.Action == Create:
	case change.Replaced+change.Removed+change.Added == 0:
		parts = append(parts, "nothing restarts")
	case change.Replaced == 0:
		parts = append(parts, startsAndEnds(change)...)
	default:
		parts = append(parts, c.pace(s, change), c.downtime(s))
		if change.Replaced != change.Instances {
			parts = append(parts, startsAndEnds(change)...)
		}
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func startsAndEnds(change Change) []string {
	var out []string
	if n := change.Added - len(change.Moves); n > 0 {
		out = append(out, fmt.Sprintf("%d more", n))
	}
	if n := change.Removed - len(change.Moves); n > 0 {
		out = append(out, fmt.Sprintf("%d fewer", n))
	}
	if n := len(change.Moves); n > 0 {
		out = append(out, fmt.Sprintf("%d to another host", n))
	}
	return out
}

// pace says how many instances go at a time.
func (c *comparison) pace(s *pipeline.Service, change Change) string {
	changing := change.Replaced + change.Added
	if changing < 2 {
		return ""
	}
	n := min(parallel(s, change.Instances), changing)
	batches := fmt.Sprintf("%d at a time", n)
	switch n {
	case 1:
		batches = "one at a time"
	case changing:
		batches = "all at once"
	}
	switch c.strategy(s).Name {
	case pipeline.StrategyAllAtOnce:
		return "all at once"
	case pipeline.StrategyBlueGreen:
		return "all new ones beside the old ones, then the switch"
	case pipeline.StrategyCanary:
		return fmt.Sprintf("%d first, then %s", min(max(s.Update.Canary, 1), changing), batches)
	}
	return batches
}

func (c *comparison) downtime(s *pipeline.Service) string {
	st := c.strategy(s)
	if st.Name != pipeline.StrategyRecreate {
		return "no downtime"
	}
	out := "each stops before its successor starts"
	if st.Reason != "" {
		out += " (" + st.Reason + ")"
	}
	return out
}

// parallel is max_parallel as a number of instances, of all there are.
func parallel(s *pipeline.Service, all int) int {
	if s.Update.MaxParallelPct > 0 {
		return max(all*s.Update.MaxParallelPct/100, 1)
	}
	return max(s.Update.MaxParallel, 1)
}

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
	longest, changes := 0.0, false
	services := servicesOf(&c.in.Desired)
	for _, change := range c.plan.Changes {
		changes = changes || change.Action != Keep
		s := services[change.Name]
		if change.Kind != "service" || s == nil || change.Replaced+change.Added == 0 {
			continue
		}
		longest = max(longest, c.rollout(s, change))
	}
	if !changes {
		if len(c.plan.Drift) > 0 { // mending it is a deployment like another
			c.besides()
		}
		return 0
	}
	c.besides()
	c.people()
	return assumedPrepare + longest + c.mostToSend()/assumedRate
}

// rollout returns the seconds that the batches of a service take.
func (c *comparison) rollout(s *pipeline.Service, change Change) float64 {
	instances, n := change.Replaced+change.Added, parallel(s, change.Instances)
	batches, each := (instances+n-1)/n, assumedStart+s.Update.MinHealthyTime.D().Seconds()
	if s.Check != nil {
		each += min(s.Check.Interval.D(), time.Second).Seconds()
	}
	switch c.strategy(s).Name {
	case pipeline.StrategyAllAtOnce, pipeline.StrategyBlueGreen:
		batches = 1
	case pipeline.StrategyRecreate:
		each += assumedStop
	case pipeline.StrategyCanary:
		first := min(max(s.Update.Canary, 1), instances)
		batches = 1 + (instances-first+n-1)/n
	}
	return float64(batches) * each
}

// mostToSend returns the bytes that the host lacks which lacks most.
func (c *comparison) mostToSend() float64 {
	most := 0.0
	for _, h := range c.in.Hosts {
		sum := 0.0
		for _, bytes := range h.Send {
			sum += float64(bytes)
		}
		most = max(most, sum)
	}
	return most
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
}

// people names who has to say yes meanwhile.
func (c *comparison) people() {
	for _, s := range c.in.Desired.Services {
		if c.strategy(&s).Name == pipeline.StrategyCanary && !s.Update.AutoPromote {
			c.plan.Besides = append(c.plan.Besides, "a yes after the canary of "+s.Name)
		}
	}
}

func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
