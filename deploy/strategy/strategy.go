// Package strategy turns what changes in an environment into ordered batches
// of steps. It is pure: the same input gives the same batches.
//
// The instances of one batch go at the same time, on all their hosts; the next
// batch begins when every step of the one before has succeeded. Services
// change side by side: batch n holds the n-th part of each.
package strategy

import (
	"cmp"
	"slices"

	"dray/pipeline"
)

// Actions, in the order in which a batch takes them on a host.
const (
	Stop   = "stop"   // the old containers first (recreate)
	Start  = "start"  // the new containers, until they are healthy
	Switch = "switch" // new connections go to the new containers
	Retire = "retire" // the old containers drain and stop
)

var actions = []string{Stop, Start, Switch, Retire}

// Instance is one instance and where it is: "web/2" on host "p1".
type Instance struct {
	Host string
	Name string
}

// Change is what happens to one service.
type Change struct {
	Service string
	Update  pipeline.Update
	Changed []Instance // new, or different from what runs; in the order of their indexes
	Removed []Instance // run now and are not part of the new release
	Count   int        // instances in the new release, for percentages
}

// Step is one action on some instances of a host.
type Step struct {
	Action    string
	Instances []string // sorted
}

// Batch is what happens at the same time.
type Batch struct {
	Steps map[string][]Step // by host, in order
	Pause string            // not empty: somebody must say yes before the next batch; the reason
}

// Batches orders the changes.
func Batches(changes []Change) []Batch {
	changes = slices.Clone(changes)
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Service, b.Service) })
	var merged []draft
	for _, c := range changes {
		for i, d := range drafts(c) {
			if i == len(merged) {
				merged = append(merged, draft{})
			}
			merged[i].add(d)
		}
	}
	batches := make([]Batch, 0, len(merged))
	for _, d := range merged {
		batches = append(batches, d.batch())
	}
	return batches
}

// drafts orders one service's change.
func drafts(c Change) []draft {
	var out []draft
	switch c.Update.Strategy {
	case pipeline.StrategyAllAtOnce:
		out = roll(c.Changed, len(c.Changed), Start, Switch, Retire)
	case pipeline.StrategyRecreate:
		out = roll(c.Changed, parallel(c), Stop, Start, Switch)
	case pipeline.StrategyBlueGreen:
		out = blueGreen(c.Changed)
	case pipeline.StrategyCanary:
		out = canary(c)
	default:
		out = roll(c.Changed, parallel(c), Start, Switch, Retire)
	}
	if len(c.Removed) > 0 {
		last := draft{}
		last.do(c.Removed, Switch, Retire)
		out = append(out, last)
	}
	return out
}

// roll cuts instances into parts of size n and does the actions on each.
func roll(instances []Instance, n int, actions ...string) []draft {
	var out []draft
	for part := range slices.Chunk(instances, max(n, 1)) {
		d := draft{}
		d.do(part, actions...)
		out = append(out, d)
	}
	return out
}

// blueGreen starts everything, then switches everything, then retires: no
// host switches before all hosts are healthy.
func blueGreen(instances []Instance) []draft {
	var out []draft
	for _, action := range []string{Start, Switch, Retire} {
		if len(instances) == 0 {
			continue
		}
		d := draft{}
		d.do(instances, action)
		out = append(out, d)
	}
	return out
}

// canary lets the first instances go ahead; the rest follows when somebody
// says so, or by itself with auto_promote.
func canary(c Change) []draft {
	n := min(max(c.Update.Canary, 1), len(c.Changed))
	out := roll(c.Changed[:n], n, Start, Switch, Retire)
	rest := roll(c.Changed[n:], parallel(c), Start, Switch, Retire)
	if len(out) > 0 && len(rest) > 0 && !c.Update.AutoPromote {
		out[len(out)-1].pause = "the canary of " + c.Service + " is healthy"
	}
	return append(out, rest...)
}

// parallel is max_parallel as a number of instances.
func parallel(c Change) int {
	if c.Update.MaxParallelPct > 0 {
		return max(c.Count*c.Update.MaxParallelPct/100, 1)
	}
	return max(c.Update.MaxParallel, 1)
}

// draft is a batch under construction: host, then action, then instances.
type draft struct {
	work  map[string]map[string][]string
	pause string
}

func (d *draft) do(instances []Instance, actions ...string) {
	if d.work == nil {
		d.work = map[string]map[string][]string{}
	}
	for _, i := range instances {
		if d.work[i.Host] == nil {
			d.work[i.Host] = map[string][]string{}
		}
		for _, a := range actions {
			d.work[i.Host][a] = append(d.work[i.Host][a], i.Name)
		}
	}
}

func (d *draft) add(other draft) {
	for host, byAction := range other.work {
		for action, names := range byAction {
			for _, n := range names {
				d.do([]Instance{{Host: host, Name: n}}, action)
			}
		}
	}
	if d.pause == "" {
		d.pause = other.pause
	}
}

func (d *draft) batch() Batch {
	b := Batch{Steps: map[string][]Step{}, Pause: d.pause}
	for host, byAction := range d.work {
		for _, action := range actions {
			if names := byAction[action]; len(names) > 0 {
				slices.Sort(names)
				b.Steps[host] = append(b.Steps[host], Step{Action: action, Instances: names})
			}
		}
	}
	return b
}
