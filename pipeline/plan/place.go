package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"dray/pipeline"
)

// Place says which instances run on which host: "web/1" and so on, sorted by
// service and index. Instances are spread evenly; one stays on the host that
// it has in previous wherever that leaves no host with two more than another;
// one with a named volume stays in any case, for its data is there. A global
// service has one instance a host. Every host has an entry.
func Place(services map[string]*pipeline.Service, hosts []string, previous map[string][]string) map[string][]string {
	p := &placing{hosts: slices.Sorted(slices.Values(hosts)), at: map[string][]pipeline.Instance{}, home: map[string]string{}}
	for _, host := range p.hosts {
		for _, name := range previous[host] {
			if p.home[name] == "" { // hosts that missed releases of each other may claim the same one
				p.home[name] = host
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		p.place(services[name])
	}
	out := map[string][]string{}
	for _, host := range p.hosts {
		out[host] = p.names(host)
	}
	return out
}

// placing is a placement under construction.
type placing struct {
	hosts []string // sorted
	at    map[string][]pipeline.Instance
	home  map[string]string // instance → its host before
}

func (p *placing) place(s *pipeline.Service) {
	count := s.Count
	if s.Mode == pipeline.ModeGlobal {
		count = len(p.hosts)
	}
	if len(p.hosts) == 0 {
		return
	}
	// What stays: at most the even share of each host, and all that has data.
	share := (count + len(p.hosts) - 1) / len(p.hosts)
	full := count % len(p.hosts) // this many hosts may have the larger share
	if full == 0 {
		full = len(p.hosts)
	}
	load := map[string]int{}
	var homeless []pipeline.Instance
	for index := 1; index <= count; index++ {
		i := pipeline.Instance{Service: s.Name, Index: index}
		home := p.home[i.String()]
		switch {
		case home == "":
			homeless = append(homeless, i)
			continue
		case KeepsData(s):
		case load[home] >= share, load[home] == share-1 && full == 0:
			homeless = append(homeless, i)
			continue
		}
		p.put(home, i, load)
		if load[home] == share {
			full--
		}
	}
	for _, i := range homeless {
		p.put(p.emptiest(load), i, load)
	}
}

func (p *placing) put(host string, i pipeline.Instance, load map[string]int) {
	p.at[host] = append(p.at[host], i)
	load[host]++
}

// emptiest is the host with the fewest instances of the service, then with the
// fewest of all, then the first by name.
func (p *placing) emptiest(load map[string]int) string {
	return slices.MinFunc(p.hosts, func(a, b string) int {
		if d := load[a] - load[b]; d != 0 {
			return d
		}
		if d := len(p.at[a]) - len(p.at[b]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

func (p *placing) names(host string) []string {
	names := []string{}
	slices.SortFunc(p.at[host], func(a, b pipeline.Instance) int {
		if d := strings.Compare(a.Service, b.Service); d != 0 {
			return d
		}
		return a.Index - b.Index
	})
	for _, i := range p.at[host] {
		names = append(names, i.Service+"/"+strconv.Itoa(i.Index))
	}
	return names
}

// KeepsData tells whether instances of a service have data of their own on their
// host: it stays there when they go elsewhere.
func KeepsData(s *pipeline.Service) bool {
	return slices.ContainsFunc(s.Volumes, func(v pipeline.Volume) bool { return v.Source == "" })
}
