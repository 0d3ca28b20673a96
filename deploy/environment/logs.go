package environment

import (
	"context"

	"dray/pipeline"
	"dray/pipeline/event"
)

// ReleasesOf asks the agents for which releases containers run now: one may be
// kept from an earlier release than that. What a host does not tell is left out.
func (o *Opener) ReleasesOf(ctx context.Context, env string, containers []Container) map[string]pipeline.ReleaseNumber {
	out, asked := map[string]pipeline.ReleaseNumber{}, map[string]bool{}
	for _, c := range containers {
		if asked[c.Engine.Host] {
			continue
		}
		asked[c.Engine.Host] = true
		host, err := o.Connector.Connect(ctx, o.host(c.Engine.Host), event.Discard)
		if err != nil {
			continue // its label says the release that it was made for
		}
		if state, err := host.Client.Environment(o.Project.Name, env).Get(ctx); err == nil {
			for _, i := range state.Instances {
				out[i.ContainerID] = i.ReleaseNumber()
			}
		}
	}
	return out
}

// OfRelease keeps the containers of one release: the named one, or of each
// instance the one that is in use, or that ran last. inUse says for which
// release containers run now, by id.
func OfRelease(containers []Container, release pipeline.ReleaseNumber, inUse map[string]pipeline.ReleaseNumber) []Container {
	of := func(c *Container) pipeline.ReleaseNumber {
		if n, ok := inUse[c.ID]; ok {
			return n
		}
		n, _, _ := pipeline.ParseReleaseNumber(c.Labels["dray.release"]) // a container without one is of none
		return n
	}
	better := func(a, b *Container) bool {
		_, usedA := inUse[a.ID]
		_, usedB := inUse[b.ID]
		switch {
		case usedA != usedB:
			return usedA
		case (a.State == "running") != (b.State == "running"):
			return a.State == "running"
		}
		return of(a).Compare(of(b)) > 0
	}
	best := map[string]*Container{}
	var out []Container
	for i := range containers {
		c := &containers[i]
		at := c.Engine.Host + c.Instance()
		if best[at] == nil || better(c, best[at]) {
			best[at] = c
		}
		if release.Known() && of(c) == release {
			out = append(out, *c)
		}
	}
	if release.Known() {
		return out
	}
	for i := range containers {
		if c := &containers[i]; best[c.Engine.Host+c.Instance()] == c {
			out = append(out, *c)
		}
	}
	return out
}
