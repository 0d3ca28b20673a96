package agent

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"dray/pipeline"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// The rotation of an environment is the containers that new connections should
// reach: journal.Environment.Serving, instance → container, journalled before the kernel
// is told. What the kernel is told leaves out containers that can't answer
// now, as long as another one of the service can.

// route tells the kernel the rotation, all services at once.
func (a *Agent) route(ctx context.Context, e *environment) error {
	e.routing.Lock()
	defer e.routing.Unlock()
	return a.routeLocked(ctx, e)
}

// reconcileTraffic brings the kernel to the rotation, and reads back that it is
// there. Whatever a release says of a service that needs no new container shows
// after it: published ports, names, addresses, no instance left.
func (a *Agent) reconcileTraffic(ctx context.Context, e *environment) error {
	e.forgetRoutes() // told or not, the kernel is told now
	if err := a.route(ctx, e); err != nil {
		return err
	}
	return a.verifyTraffic(ctx, e)
}

// verifyTraffic has the host show what it was told. That waits for containers
// that are busy, starting for one: who ends meanwhile must leave the rotation, so
// it is not held.
func (a *Agent) verifyTraffic(ctx context.Context, e *environment) error {
	if err := a.parts.Traffic.Verify(ctx, e.network()); err != nil {
		e.forgetRoutes()
		return fmt.Errorf("reading back the network of %s: %w", e.key(), err)
	}
	return nil
}

// forgetRoutes has the kernel told the rotation next time, changed or not.
func (e *environment) forgetRoutes() {
	e.routing.Lock()
	defer e.routing.Unlock()
	e.routes = nil
}

func (a *Agent) routeLocked(ctx context.Context, e *environment) error {
	routes, err := a.routes(e)
	if err != nil {
		return err
	}
	if e.routes != nil && reflect.DeepEqual(routes, e.routes) {
		return nil
	}
	if err := a.parts.Traffic.Switch(ctx, routes); err != nil {
		e.routes = nil
		return fmt.Errorf("switching connections of %s: %w", e.key(), err)
	}
	e.routes = routes
	return nil
}

// candidate is one container of the rotation with the ports of its release.
type candidate struct {
	container runtime.Container
	ports     []pipeline.Port
}

// routes returns where the connections of each service should go now.
func (a *Agent) routes(e *environment) ([]Route, error) {
	services, err := a.candidates(e)
	if err != nil {
		return nil, err
	}
	routes := make([]Route, 0, len(services))
	for _, name := range slices.Sorted(maps.Keys(services)) {
		route := Route{Network: e.network(), Service: name, Ports: services[name].ports}
		for _, c := range fit(services[name].members, a.started) {
			route.Backends = append(route.Backends, Backend{Address: c.container.Address, Ports: c.ports})
		}
		routes = append(routes, route)
	}
	return routes, nil
}

// rotating is one service of the releases in hand. Without members it refuses
// connections.
type rotating struct {
	ports   []pipeline.Port
	members []candidate
}

// candidates returns the containers of the rotation by service.
func (a *Agent) candidates(e *environment) (map[string]*rotating, error) {
	services := map[string]*rotating{}
	containers := a.containers()
	err := a.journal.View(func(t *journal.Tx) error {
		r, _, err := t.Environment(e.project, e.name)
		if err != nil {
			return err
		}
		ports := map[string][]pipeline.Port{} // container → ports
		order, err := byPrecedence(t, r)
		if err != nil {
			return err
		}
		for _, id := range order {
			if err := portsOf(t, id, services, ports); err != nil {
				return err
			}
		}
		for _, instance := range sortedKeys(r.Serving) {
			service, _, err := parseInstance(instance)
			if err != nil {
				return err
			}
			c, exists := containers[r.Serving[instance]]
			if s := services[service]; s != nil && exists && c.Address.IsValid() {
				s.members = append(s.members, candidate{c, ports[c.ID]})
			}
		}
		return nil
	})
	return services, err
}

// byPrecedence returns the deployments whose services are routed; what a later
// one says of a service or a container replaces what an earlier one says. The
// open deployment comes last from its first step until it goes back: before and
// after, the containers that it shares with the current release serve as that
// one says.
func byPrecedence(t *journal.Tx, r journal.Environment) ([]string, error) {
	open, err := t.Deployment(r.Open)
	if open != nil && (open.State == api.StateCommitting || open.State == api.StateCommitted) {
		return []string{r.Current, r.Open}, err
	}
	return []string{r.Open, r.Current}, err
}

// portsOf sets the services of a deployment, and the ports of its containers.
func portsOf(t *journal.Tx, id string, services map[string]*rotating, ports map[string][]pipeline.Port) error {
	d, err := t.Deployment(id)
	if err != nil || d == nil {
		return err
	}
	r, err := t.Release(id)
	if err != nil || r == nil {
		return journal.Missing(err, "release of deployment %s", id)
	}
	for i := range r.Services {
		services[r.Services[i].Name] = &rotating{ports: r.Services[i].Ports}
	}
	for instance, container := range d.Containers {
		service, _, err := parseInstance(instance)
		if err != nil {
			return err
		}
		for i := range r.Services {
			if s := &r.Services[i]; s.Name == service {
				ports[container] = s.Ports
			}
		}
	}
	return nil
}

// fit leaves out the containers that can't answer, unless that leaves none.
func fit(all []candidate, since time.Time) []candidate {
	answering := func(c runtime.Container) bool { return answers(c) && !unchecked(c, since) }
	for _, good := range []func(runtime.Container) bool{answering, answers, runs} {
		if some := slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return !good(c.container) }); len(some) > 0 {
			return some
		}
	}
	return all
}

func runs(c runtime.Container) bool { return c.State == runtime.Running }

// unchecked tells that a container has come up and that its health has not been
// looked at since: it may not listen yet. What ran already when the agent started
// serves until a check says otherwise.
func unchecked(c runtime.Container, agentStarted time.Time) bool {
	return c.Spec.Check != nil && c.Health.Status == "" && c.Started.After(agentStarted)
}

func answers(c runtime.Container) bool {
	return runs(c) && c.Health.Status != api.HealthUnhealthy && c.Health.Status != api.HealthStarting
}

// follow adjusts the rotation whenever a container changes: one that turns
// unhealthy or ends leaves it while another one serves, and comes back.
func (a *Agent) follow() (stop func()) {
	return a.parts.Containers.Watch(func(c runtime.Change) {
		labels := c.Container.Spec.Labels
		project, name := labels[runtime.LabelProject], labels[runtime.LabelEnvironment]
		if project == "" || runsOnce(c.Container) {
			return
		}
		a.tellChange(c)
		a.changed(a.environmentOf(project, name))
	})
}
