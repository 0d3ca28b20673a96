package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// instances fills in what happens to the instances of a service, host by host:
// each host may be at another release. An instance is left alone exactly where
// the host runs a container of the same fingerprint.
func (c *comparison) instances(out *Change, want *pipeline.Service) {
	from, to := map[string]string{}, map[string]string{}
	var changed []Placed
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
				out.Steps = append(out.Steps, Step{Instance: i, Host: h.Name, Action: StepRemove})
			}
		}
		for _, i := range wanted {
			action := c.step(h, i, out.Name, slices.Contains(running, i))
			switch action {
			case "":
				continue
			case StepAdd:
				out.Added++
				to[i] = h.Name
			case StepReplace:
				out.Replaced++
			}
			changed = append(changed, Placed{Host: h.Name, Name: i})
			out.Steps = append(out.Steps, Step{Instance: i, Host: h.Name, Action: action})
		}
	}
	slices.SortStableFunc(changed, func(a, b Placed) int { return cmp.Compare(index(a.Name), index(b.Name)) })
	if len(changed) > 0 {
		c.outlooks[out.Name] = c.in.Foresee(want, changed, out.Instances)
	}
	c.finishSteps(out)
	for _, i := range union(from, to) {
		if from[i] != "" && to[i] != "" {
			out.Moves = append(out.Moves, Move{Instance: i, From: from[i], To: to[i]})
		}
	}
}

// step says what happens to an instance of the new release on a host; "" for
// nothing.
func (c *comparison) step(h Observed, instance, service string, running bool) string {
	if !running {
		return StepAdd
	}
	if h.Current.ContainerFingerprint(service) != c.in.Desired.ContainerFingerprint(service) {
		return StepReplace
	}
	for _, d := range h.Drift {
		switch {
		case d.Instance != instance:
		case d.Kind == "stopped":
			return StepStart
		case d.Kind == "missing", d.Kind == "changed":
			return stepMend
		}
	}
	if slices.Contains(h.Idle, instance) {
		return StepStart
	}
	return ""
}

// stepMend replaces a container though the release has not changed it: it shows
// as StepReplace, and does not make the service one that changes.
const stepMend = "mend"

// finishSteps says which replacements stop the old container first, and sorts.
func (c *comparison) finishSteps(out *Change) {
	for i := range out.Steps {
		s := &out.Steps[i]
		if s.Action == stepMend {
			s.Action = StepReplace
		}
		if s.Action == StepReplace && c.outlooks[out.Name].StopsFirst {
			s.Action = StepRecreate
		}
	}
	slices.SortStableFunc(out.Steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(index(a.Instance), index(b.Instance)), strings.Compare(a.Host, b.Host))
	})
}

func index(instance string) int {
	_, number, _ := strings.Cut(instance, "/")
	n, _ := strconv.Atoi(number) // a name without a number sorts first
	return n
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

// how says in words how the instances change.
func (c *comparison) how(change Change, s *pipeline.Service) string {
	parts := []string{phrase.Count(change.Instances, "replica")}
	if s.Mode == pipeline.ModeGlobal {
		parts = []string{"one on each host"}
	}
	outlook := c.outlooks[s.Name]
	switch {
	case change.Action == Create:
	case change.Replaced+change.Removed+change.Added == 0:
		parts = append(parts, "nothing restarts")
	case change.Replaced == 0:
		parts = append(parts, startsAndEnds(change)...)
	default:
		if change.Replaced != change.Instances {
			parts = append(parts, replaced(change))
		}
		parts = append(parts, outlook.Pace, outlook.Downtime)
		parts = append(parts, startsAndEnds(change)...)
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// mostNamed is how many instances a summary names; the JSON form has all.
const mostNamed = 4

// replaced names the instances that get another container where not all do.
func replaced(change Change) string {
	var names []string
	for _, s := range change.Steps {
		if s.Action == StepReplace || s.Action == StepRecreate {
			names = append(names, s.Instance)
		}
	}
	if len(names) > mostNamed {
		return fmt.Sprintf("%d replaced", change.Replaced)
	}
	return strings.Join(names, " and ") + " replaced"
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
