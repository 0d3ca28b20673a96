package environment

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// Sum draws one picture from what the hosts said.
func (v *Status) Sum(env *pipeline.Environment) {
	v.Images, v.Services = map[string]string{}, map[string]string{}
	counts := map[string]*tally{}
	for _, name := range sortedKeys(env.Services) {
		counts[name] = &tally{}
	}
	releases := map[pipeline.ReleaseNumber][]string{}
	var newest *pipeline.Release
	var silent []string
	var found notes
	var digests digests
	for _, h := range v.Hosts {
		if h.Error != "" {
			silent = append(silent, h.Host)
			found.unreached(h.Host, h.Error)
			continue
		}
		found.of(v.Environment, h)
		current := h.State.Current
		releases[current.ReleaseNumber()] = append(releases[current.ReleaseNumber()], h.Host)
		if current == nil {
			continue
		}
		if newest == nil || current.ReleaseNumber().Compare(newest.ReleaseNumber()) > 0 {
			newest = current
		}
		if h.State.Since.After(v.Since) {
			v.Since = h.State.Since
		}
		for _, s := range current.Services {
			digests.add(s.Name, h.Host, current.Images[s.Name].Digest)
			if counts[s.Name] == nil {
				counts[s.Name] = &tally{}
			}
			counts[s.Name].add(s.Name, current, h)
		}
	}
	for _, host := range silent {
		count := func(t *tally, n int) { t.want, t.unknown = t.want+n, t.unknown+n }
		for name, t := range counts {
			if newest != nil {
				count(t, len(InstancesOf(name, newest.Placement[host])))
			}
		}
	}
	for name, t := range counts {
		t.wish(env, newest, name)
		v.Services[name] = t.String()
	}
	if newest != nil {
		for _, s := range newest.Services {
			v.Images[s.Name] = newest.Images[s.Name].Digest
		}
	}
	v.Notes = found.lines()
	v.agree(releases)
	v.Differ = digests.differ()
	for _, name := range sortedKeys(v.Differ) {
		v.Notes = append(v.Notes, name+": "+v.Differ[name])
	}
}

// digests are those that the hosts run of each service.
type digests map[string][]hostsOf

// hostsOf are the hosts that run a digest.
type hostsOf struct {
	digest string
	hosts  []string
}

func (d *digests) add(service, host, digest string) {
	if *d == nil {
		*d = digests{}
	}
	all := (*d)[service]
	i := slices.IndexFunc(all, func(o hostsOf) bool { return o.digest == digest })
	if i < 0 {
		i, all = len(all), append(all, hostsOf{digest: digest})
	}
	all[i].hosts = append(all[i].hosts, host)
	(*d)[service] = all
}

// differ says of services whose hosts run different digests which run which:
// "p1 7d1c0f6e2b9a, p2 and 3 more a91e77d0c4f5".
func (d digests) differ() map[string]string {
	out := map[string]string{}
	for service, all := range d {
		if len(all) < 2 {
			continue
		}
		var parts []string
		for _, o := range all {
			hosts := phrase.List(o.hosts)
			if len(o.hosts) > 2 {
				hosts = fmt.Sprintf("%s and %d more", o.hosts[0], len(o.hosts)-1)
			}
			parts = append(parts, phrase.Words(hosts, phrase.Digest(o.digest)))
		}
		out[service] = strings.Join(parts, ", ")
	}
	return out
}

// WithoutHost is what a host's error says, for behind the host's name: an error
// of a connection begins with "HOST (ADDRESS): ".
func WithoutHost(text, host string) string {
	if says, ok := strings.CutPrefix(text, host+": "); ok {
		return says
	}
	says, named := strings.CutPrefix(text, host+" ")
	address, rest, ok := strings.Cut(says, ")")
	if !named || !ok || address[0] != '(' {
		return says
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, ":"), " ")
	if strings.Contains(rest, "\n") {
		return rest
	}
	return rest + " " + address + ")"
}

// agree says which release runs, or which hosts run which.
func (v *Status) agree(releases map[pipeline.ReleaseNumber][]string) {
	numbers := slices.SortedFunc(maps.Keys(releases), pipeline.ReleaseNumber.Compare)
	if len(numbers) == 1 {
		v.Release, v.Revision = numbers[0].Number, numbers[0].Revision
		return
	}
	for _, n := range numbers {
		v.Notes = append(v.Notes, fmt.Sprintf("%s: %s", strings.Join(releases[n], ", "), n.Name()))
	}
	if len(numbers) > 1 {
		v.Notes = append(v.Notes, fmt.Sprintf("hosts run different releases: dray recover %s says which is right; dray deploy or dray rollback makes them alike", v.Environment))
	}
}

// notes is what is wrong with hosts; what is said of several is said once.
type notes struct {
	texts []string
	hosts map[string][]string // by text
}

func (f *notes) add(host, text string) {
	if f.hosts == nil {
		f.hosts = map[string][]string{}
	}
	if !slices.Contains(f.texts, text) {
		f.texts = append(f.texts, text)
	}
	f.hosts[text] = append(f.hosts[text], host)
}

// unreached adds why a host could not be asked.
func (f *notes) unreached(host, why string) { f.add(host, WithoutHost(why, host)) }

func (f *notes) lines() []string {
	var out []string
	for _, text := range f.texts {
		out = append(out, strings.Join(f.hosts[text], ", ")+": "+text)
	}
	return out
}

// of adds what is wrong with a host of an environment.
func (f *notes) of(env string, h HostStatus) {
	s := h.State
	if d := s.Deployment; d != nil && d.Held != nil {
		f.held(env, h.Host, s)
	} else if d != nil {
		f.add(h.Host, fmt.Sprintf("%s of release %s by %s is %s since %s", d.Kind, d.ReleaseNumber(), d.Actor.Who(), d.State, d.Started.Local().Format(time.TimeOnly)))
		if s.Lease == nil {
			f.add(h.Host, "nobody holds it any more: dray recover "+env)
		}
	}
	if l := s.Lease; l != nil {
		f.add(h.Host, fmt.Sprintf("being changed by %s on %s (%s)", l.Holder.Who(), l.Holder.Machine, l.Holder.Command))
	}
	if z := s.Freeze; z != nil {
		f.add(h.Host, fmt.Sprintf("locked by %s%s: %s", z.By.Who(), z.UntilText(), z.Reason))
	}
	for _, i := range s.Instances {
		if text := Trouble(i); text != "" {
			f.add(h.Host, text)
		}
	}
	for _, d := range s.Drift {
		f.add(h.Host, "drift: "+phrase.Because(phrase.Words(d.Instance, d.Kind), d.Detail))
	}
}

// Trouble says what is wrong with an instance that does not run or is not
// healthy, as far as the host knows why; otherwise it is "".
func Trouble(i api.InstanceStatus) string {
	if i.Reason == "" {
		return ""
	}
	state := i.State
	if state == "running" {
		state = i.Health
	}
	again := ""
	if i.Restarts > 0 {
		again = fmt.Sprintf(" (%s)", phrase.Count(i.Restarts, "restart"))
	}
	return fmt.Sprintf("%s is %s%s: %s", i.Instance, state, again, i.Reason)
}

// tally counts the instances of a service.
type tally struct {
	want, healthy, running int
	unknown                int // on hosts that could not be asked
	unplaced               int // by the file there are to be so many more than the release has
}

// wish counts what the file asks for beyond what the release has on the hosts:
// that a host was taken out, or the count was raised, makes no service whole.
func (t *tally) wish(env *pipeline.Environment, newest *pipeline.Release, service string) {
	s := env.Services[service]
	if s == nil || newest == nil || !slices.ContainsFunc(newest.Services, func(r pipeline.Service) bool { return r.Name == service }) {
		return // it is to go, or has not come yet
	}
	want := s.Count
	if s.Mode == pipeline.ModeGlobal {
		want = len(env.Hosts)
	}
	t.unplaced = max(want-t.want, 0)
	t.want += t.unplaced
}

func (t *tally) add(service string, r *pipeline.Release, h HostStatus) {
	changing := h.State.Deployment != nil // what it brings may serve in the current release's stead
	for _, name := range InstancesOf(service, r.Placement[h.Host]) {
		t.want++
		i := slices.IndexFunc(h.State.Instances, func(s api.InstanceStatus) bool {
			return s.Instance == name && (s.ReleaseNumber() == r.ReleaseNumber() || changing && s.Serving) && s.State == "running"
		})
		if i < 0 {
			continue
		}
		t.running++
		if s := h.State.Instances[i].Health; s == api.HealthHealthy || s == api.HealthNone {
			t.healthy++
		}
	}
}

// InstancesOf lists the instances of a service among those of a host.
func InstancesOf(service string, placed []string) []string {
	var out []string
	for _, name := range placed {
		if strings.HasPrefix(name, service+"/") {
			out = append(out, name)
		}
	}
	return out
}

func (t *tally) String() string {
	if t.want == 0 {
		return "-"
	}
	text := fmt.Sprintf("%d/%d healthy", t.healthy, t.want)
	if down := t.want - t.running - t.unknown - t.unplaced; down > 0 {
		text += fmt.Sprintf(", %d down", down)
	} else if t.running > t.healthy {
		text += fmt.Sprintf(", %d running", t.running)
	}
	if t.unplaced > 0 {
		text += fmt.Sprintf(", %d not deployed", t.unplaced)
	}
	if t.unknown > 0 {
		text += fmt.Sprintf(", %d not known", t.unknown)
	}
	return text
}

// held adds what a host holds, and which of its instances serve from it.
func (f *notes) held(env, host string, s *api.Environment) {
	d := s.Deployment
	f.add(host, fmt.Sprintf("release %s by %s failed and is held, as auto_revert is false: %s\nNext: %s", d.ReleaseNumber(), d.Actor.Who(), d.Held.Reason, deploy.WaysOn(env, d.FromNumber())))
	var serve, run []string
	for _, i := range s.Instances {
		switch {
		case i.ReleaseNumber() != d.ReleaseNumber() || i.State != "running":
		case i.Serving:
			serve = append(serve, i.Instance)
		default:
			run = append(run, phrase.Words(i.Instance, "("+i.Health+")"))
		}
	}
	slices.Sort(serve)
	if len(serve) > 0 {
		f.add(host, fmt.Sprintf("from release %s serves %s", d.ReleaseNumber(), phrase.List(serve)))
	}
	if len(run) > 0 {
		f.add(host, fmt.Sprintf("of release %s runs, and does not serve, %s", d.ReleaseNumber(), phrase.List(run)))
	}
}
