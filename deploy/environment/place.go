package environment

import (
	"fmt"
	"slices"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/plan"
)

// placer says where the instances of a deployment go. What all hosts had agreed
// on and some have missed is where it is.
func (e *Environment) placer(kind string) deploy.Placer {
	if kind == pipeline.KindRecover {
		return nil
	}
	return e.place
}

// place spreads the instances of a release over the environment's hosts; one that
// is skipped keeps its share. A release that ran before goes back to the places
// that it had, as far as those hosts are still there. Data stays where it is: an
// instance with a volume goes where it runs now, or ran then, and where that host
// has left the environment the release is refused, for its data has left with it.
func (e *Environment) place(r *pipeline.Release, now map[string][]string) (map[string][]string, error) {
	services := map[string]*pipeline.Service{}
	for i := range r.Services {
		services[r.Services[i].Name] = &r.Services[i]
	}
	if r.Placement == nil {
		return plan.Place(services, e.env.Hosts, now), nil
	}
	homes, current := homesOf(r.Placement), homesOf(now)
	refused := &deploy.PlacementError{Environment: e.env.Name, Release: r.ReleaseNumber()}
	for _, instance := range sortedKeys(homes) {
		s := services[serviceOf(instance)]
		if s == nil || !plan.KeepsData(s) {
			continue
		}
		if host := current[instance]; host != "" {
			homes[instance] = host
		}
		if host := homes[instance]; !slices.Contains(e.env.Hosts, host) {
			refused.Reasons = append(refused.Reasons, fmt.Sprintf("%s has its data on %s, which is no host of it any more", instance, host))
		}
	}
	if len(refused.Reasons) > 0 {
		return nil, refused
	}
	previous := map[string][]string{}
	for instance, host := range homes {
		previous[host] = append(previous[host], instance)
	}
	return plan.Place(services, e.env.Hosts, previous), nil
}

// homesOf maps instances to their hosts.
func homesOf(placement map[string][]string) map[string]string {
	out := map[string]string{}
	for host, names := range placement {
		for _, name := range names {
			out[name] = host
		}
	}
	return out
}
