package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/phrase"
)

// Opening is a port that other hosts can reach when a deployment is done, and
// could not before: it is new, or at more addresses, or for more clients.
type Opening struct {
	Service string   `json:"service"`
	Port    string   `json:"port"`           // "80/tcp"
	Address []string `json:"address"`        // at which it is reached from outside; "*" is every one
	From    []string `json:"from,omitempty"` // who may connect; none is everybody
	Hosts   []string `json:"hosts"`
}

// opens finds the ports of the wanted services that become reachable from
// outside.
func (c *comparison) opens() {
	have := servicesOf(c.base)
	for _, s := range c.in.Desired.Services {
		hosts := c.hostsOf(s.Name)
		if len(hosts) == 0 {
			continue
		}
		var before []pipeline.Port
		if was := have[s.Name]; was != nil && c.runs(s.Name) {
			before = was.Ports
		}
		for _, p := range s.Ports {
			outside := p.Outside()
			if len(outside) == 0 || slices.ContainsFunc(before, func(b pipeline.Port) bool { return covers(b, p) }) {
				continue
			}
			c.plan.Opens = append(c.plan.Opens, Opening{s.Name, fmt.Sprintf("%d/%s", p.Publish, p.Protocol), outside, p.From, hosts})
		}
	}
}

// hostsOf lists the hosts that have instances of a service in the new release.
func (c *comparison) hostsOf(service string) (hosts []string) {
	for _, h := range placedHosts(&c.in.Desired) {
		if hasInstance(c.in.Desired.Placement[h], service) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// runs says whether the release before has instances of a service on every host
// that the new one has some on: a port is opened where it is published first.
func (c *comparison) runs(service string) bool {
	return !slices.ContainsFunc(c.hostsOf(service), func(h string) bool { return !hasInstance(c.base.Placement[h], service) })
}

func hasInstance(instances []string, service string) bool {
	return slices.ContainsFunc(instances, func(i string) bool { return strings.HasPrefix(i, service+"/") })
}

// covers says whether everybody who reaches a port now reached it before.
func covers(before, now pipeline.Port) bool {
	if before.Publish != now.Publish || before.Protocol != now.Protocol {
		return false
	}
	was := before.Outside()
	at := slices.Contains(was, pipeline.Everywhere) ||
		!slices.ContainsFunc(now.Outside(), func(a string) bool { return !slices.Contains(was, a) })
	return at && (len(before.From) == 0 || len(now.From) > 0 && !slices.ContainsFunc(now.From, func(s string) bool { return !within(s, before.From) }))
}

// within says whether a network is part of one of the others.
func within(network string, others []string) bool {
	p, err := netip.ParsePrefix(network)
	return err == nil && slices.ContainsFunc(others, func(s string) bool {
		o, err := netip.ParsePrefix(s)
		return err == nil && o.Bits() <= p.Bits() && o.Contains(p.Addr())
	})
}

// text says what an opening means.
func (o Opening) text() string {
	to, at := "everybody", "every address"
	if len(o.From) > 0 {
		to = phrase.List(o.From)
	}
	if !slices.Contains(o.Address, pipeline.Everywhere) {
		at = phrase.List(o.Address)
	}
	return fmt.Sprintf("%s, to %s, at %s of %s; a firewall there does not stop it", o.Service, to, at, phrase.List(o.Hosts))
}
