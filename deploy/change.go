package deploy

import (
	"slices"
	"strconv"
	"strings"

	"dray/deploy/strategy"
	"dray/pipeline"
	"dray/targets/api"
)

type change = strategy.Change

// batch is a strategy.Batch on the wire: what must succeed before the next
// batch, and what is retired beside it.
type batch struct {
	steps  map[string][]api.Step
	retire map[string][]api.Step
	pause  string
}

func (d *deployment) batches(changes []change) []batch {
	var out []batch
	for _, b := range strategy.Batches(changes) {
		wire := batch{steps: map[string][]api.Step{}, retire: map[string][]api.Step{}, pause: b.Pause}
		for host, steps := range b.Steps {
			for _, s := range steps {
				to := wire.steps
				if s.Action == strategy.Retire {
					to = wire.retire
				}
				to[host] = append(to[host], api.Step{Action: s.Action, Instances: s.Instances})
			}
		}
		out = append(out, wire)
	}
	return out
}

// changes compares what was prepared with what serves: an instance that the
// host kept as it is has nothing to do.
func (d *deployment) changes() []change {
	byService := map[string]*change{}
	of := func(instance string) *change {
		service, _, _ := strings.Cut(instance, "/")
		if byService[service] == nil {
			byService[service] = &change{Service: service, Update: d.update(service)}
		}
		return byService[service]
	}
	for _, host := range sortedKeys(d.prepared) {
		wanted := d.Release.Placement[host]
		for _, status := range d.prepared[host].Instances {
			if !slices.Contains(wanted, status.Instance) {
				continue
			}
			c := of(status.Instance)
			c.Count++
			if !status.Serving {
				c.Changed = append(c.Changed, strategy.Instance{Host: host, Name: status.Instance})
			}
		}
		for _, old := range d.before[host].Instances {
			if old.State == "running" && !slices.Contains(wanted, old.Instance) && !slices.ContainsFunc(of(old.Instance).Removed, func(i strategy.Instance) bool { return i.Host == host && i.Name == old.Instance }) {
				c := of(old.Instance)
				c.Removed = append(c.Removed, strategy.Instance{Host: host, Name: old.Instance})
			}
		}
	}
	var out []change
	for _, name := range sortedKeys(byService) {
		c := byService[name]
		slices.SortFunc(c.Changed, func(a, b strategy.Instance) int { return instanceIndex(a.Name) - instanceIndex(b.Name) })
		out = append(out, *c)
	}
	return out
}

// update returns the service's update block with the strategy that its
// volumes force.
func (d *deployment) update(service string) pipeline.Update {
	for i := range d.Release.Services {
		if s := &d.Release.Services[i]; s.Name == service {
			u := s.Update
			u.Strategy, _ = strategy.Effective(s)
			return u
		}
	}
	return pipeline.Update{}
}

func instanceIndex(name string) int {
	_, index, _ := strings.Cut(name, "/")
	n, _ := strconv.Atoi(index) // a name without a number sorts first
	return n
}
