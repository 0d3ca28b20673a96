package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// stray is what a host still runs of an environment that, by the file, is not
// on it any more.
type stray struct {
	host  string
	state *api.Environment
}

// strays asks hosts of the file what they run that is not theirs. One that can't
// be asked is passed over: nobody is said to be missing there.
func (p *project) strays(ctx context.Context, hosts []string) []stray {
	// What keeps some, or all, from answering is told by those who need them.
	answers, _, _ := ask(ctx, p, &pipeline.Environment{Name: p.project.Name, Hosts: hosts}, func(ctx context.Context, h *deploy.Host) ([]api.Environment, error) {
		return h.Client.Environments(ctx, p.project.Name)
	})
	var found []stray
	for _, a := range answers {
		for i := range a.value {
			env := p.project.Environment(a.value[i].Name)
			if a.value[i].Current != nil && (env == nil || !slices.Contains(env.Hosts, a.host.Name)) {
				found = append(found, stray{a.host.Name, &a.value[i]})
			}
		}
	}
	slices.SortFunc(found, func(a, b stray) int { return strings.Compare(a.state.Name+a.host, b.state.Name+b.host) })
	return found
}

// note says what runs there, and what ends it.
func (s stray) note() string {
	var running []string
	for _, i := range s.state.Instances {
		if i.State == "running" && i.ReleaseNumber() == s.state.Current.ReleaseNumber() {
			running = append(running, i.Instance)
		}
	}
	what := "keeps"
	if len(running) > 0 {
		what = "still runs " + phrase.List(running) + " of"
	}
	return fmt.Sprintf("%s is no host of %s any more, by the file, and %s %s: dray down %[2]s --host %[1]s removes it, volumes apart",
		s.host, s.state.Name, what, s.state.Current.ReleaseNumber().Name())
}

// addStrays puts what hosts run that is not theirs into the picture. Of hosts
// that did not answer nothing is known.
func (p *project) addStrays(ctx context.Context, views []environmentView) []environmentView {
	silent := map[string]bool{}
	for _, v := range views {
		for _, h := range v.Hosts {
			silent[h.Host] = silent[h.Host] || h.Error != ""
		}
	}
	hosts := slices.DeleteFunc(sortedNames(p.project.Hosts), func(h string) bool { return silent[h] })
	for _, s := range p.strays(ctx, hosts) {
		i := slices.IndexFunc(views, func(v environmentView) bool { return v.Environment == s.state.Name })
		if i < 0 {
			i = len(views)
			views = append(views, environmentView{Environment: s.state.Name, Hosts: []hostView{}})
		}
		views[i].Notes = append(views[i].Notes, s.note())
	}
	return views
}

// leftBehind finds the hosts that a release of an environment was on, and that
// run one of it still though the file has taken them out.
func (p *project) leftBehind(ctx context.Context, env *pipeline.Environment) []stray {
	p.connector.looking = true // nothing is brought to a host from here on
	var hosts []string
	for _, name := range env.Hosts {
		host, err := p.connector.Connect(ctx, *p.project.Hosts[name], event.Discard)
		if err != nil {
			continue
		}
		kept, err := host.Client.Environment(p.project.Name, env.Name).Releases(ctx)
		if err != nil {
			continue
		}
		for _, r := range kept {
			hosts = append(hosts, sortedNames(r.Placement)...)
		}
		break // all of them know of all
	}
	slices.Sort(hosts)
	hosts = slices.DeleteFunc(slices.Compact(hosts), func(h string) bool {
		return slices.Contains(env.Hosts, h) || p.project.Hosts[h] == nil
	})
	return slices.DeleteFunc(p.strays(ctx, hosts), func(s stray) bool { return s.state.Name != env.Name })
}
