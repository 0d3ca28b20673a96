package environment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// Orphan is what a host still runs of an environment that, by the file, is not
// on it any more.
type Orphan struct {
	Host  string
	State *api.Environment
}

// Orphans asks hosts of the file what they run that is not theirs. One that can't
// be asked is passed over: nobody is said to be missing there.
func (o *Opener) Orphans(ctx context.Context, hosts []string) []Orphan {
	// What keeps some, or all, from answering is told by those who need them.
	answers, _, _ := Ask(ctx, o, &pipeline.Environment{Name: o.Project.Name, Hosts: hosts}, func(ctx context.Context, h *deploy.Host) ([]api.Environment, error) {
		return h.Client.Environments(ctx, o.Project.Name)
	})
	var found []Orphan
	for _, a := range answers {
		for i := range a.Value {
			env := o.Project.Environment(a.Value[i].Name)
			if a.Value[i].Current != nil && (env == nil || !slices.Contains(env.Hosts, a.Host.Name)) {
				found = append(found, Orphan{a.Host.Name, &a.Value[i]})
			}
		}
	}
	slices.SortFunc(found, func(a, b Orphan) int { return strings.Compare(a.State.Name+a.Host, b.State.Name+b.Host) })
	return found
}

// Note says what runs there, and what ends it.
func (s Orphan) Note() string {
	var running []string
	for _, i := range s.State.Instances {
		if i.State == "running" && i.ReleaseNumber() == s.State.Current.ReleaseNumber() {
			running = append(running, i.Instance)
		}
	}
	what := "keeps"
	if len(running) > 0 {
		what = "still runs " + phrase.List(running) + " of"
	}
	return fmt.Sprintf("%s is no host of %s any more, by the file, and %s %s: dray down %[2]s --host %[1]s removes it, volumes apart",
		s.Host, s.State.Name, what, s.State.Current.ReleaseNumber().Name())
}

// AddOrphans puts what hosts run that is not theirs into the picture. Of hosts
// that did not answer nothing is known.
func (o *Opener) AddOrphans(ctx context.Context, all []Status) []Status {
	silent := map[string]bool{}
	for _, v := range all {
		for _, h := range v.Hosts {
			silent[h.Host] = silent[h.Host] || h.Error != ""
		}
	}
	hosts := slices.DeleteFunc(sortedKeys(o.Project.Hosts), func(h string) bool { return silent[h] })
	for _, s := range o.Orphans(ctx, hosts) {
		i := slices.IndexFunc(all, func(v Status) bool { return v.Environment == s.State.Name })
		if i < 0 {
			i = len(all)
			all = append(all, Status{Environment: s.State.Name, Hosts: []HostStatus{}})
		}
		all[i].Notes = append(all[i].Notes, s.Note())
	}
	return all
}

// OrphansOf finds the hosts that a release of an environment was on, and that
// run one of it still though the file has taken them out.
func (o *Opener) OrphansOf(ctx context.Context, env *pipeline.Environment) []Orphan {
	var hosts []string
	for _, name := range env.Hosts {
		host, err := o.Reach(ctx, env.Name, name)
		if err != nil {
			continue
		}
		kept, err := host.Client.Environment(o.Project.Name, env.Name).Releases(ctx)
		if err != nil {
			continue
		}
		for _, r := range kept {
			hosts = append(hosts, sortedKeys(r.Placement)...)
		}
		break // all of them know of all
	}
	slices.Sort(hosts)
	hosts = slices.DeleteFunc(slices.Compact(hosts), func(h string) bool {
		return slices.Contains(env.Hosts, h) || o.Project.Hosts[h] == nil
	})
	return slices.DeleteFunc(o.Orphans(ctx, hosts), func(s Orphan) bool { return s.State.Name != env.Name })
}

// AddOrphansOf puts what OrphansOf finds into the status of the environment.
func (o *Opener) AddOrphansOf(ctx context.Context, env *pipeline.Environment, status *Status) {
	for _, s := range o.OrphansOf(ctx, env) {
		status.Notes = append(status.Notes, s.Note())
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
