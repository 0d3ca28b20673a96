package pipeline

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Source says what a release was built from. Empty outside a git checkout.
type Source struct {
	Commit string `json:"commit,omitempty"`
	Branch string `json:"branch,omitempty"`
	Dirty  bool   `json:"dirty,omitempty"`
}

// ReleaseImage is one image of a release: a name for people, and the digest of the
// manifest or index that is meant.
type ReleaseImage struct {
	Name   string `json:"name"`   // repository or reference, without a digest
	Digest string `json:"digest"` // sha256:…
	Size   int64  `json:"size,omitempty"`
}

// Release is what one environment runs: immutable and whole. Every host of
// the environment keeps all of it.
type Release struct {
	Project     string                  `json:"project"`
	Environment string                  `json:"environment"`
	Number      int                     `json:"number"`             // grows by one a release; promotion keeps it
	Revision    int                     `json:"revision,omitempty"` // see ReleaseNumber
	Created     time.Time               `json:"created"`
	By          Actor                   `json:"by"`
	Source      Source                  `json:"source"`
	Images      map[string]ReleaseImage `json:"images"`   // by service or "task.NAME"
	Services    []Service               `json:"services"` // sorted by name
	Tasks       []Task                  `json:"tasks,omitempty"`
	Secrets     map[string]string       `json:"secrets,omitempty"` // secret's name → version (digest of name, project salt and value; never the value)
	Placement   map[string][]string     `json:"placement"`         // host's name → instances ("web/1"), sorted
	Retain      int                     `json:"retain"`
	ConfirmIn   Duration                `json:"confirm_in"`
}

// ReleaseNumber is the release's name in its environment; of none, for nil.
func (r *Release) ReleaseNumber() ReleaseNumber {
	if r == nil {
		return ReleaseNumber{}
	}
	return ReleaseNumber{Number: r.Number, Revision: r.Revision}
}

// TaskHost is the host that runs a task, on its schedule and by hand: where it
// is placed by name, otherwise the first of the environment by name.
func (r *Release) TaskHost(task string) string {
	hosts := slices.Sorted(maps.Keys(r.Placement))
	for _, host := range hosts {
		if slices.Contains(r.Placement[host], "task."+task) {
			return host
		}
	}
	if len(hosts) == 0 {
		return ""
	}
	return hosts[0]
}

// SecretsOn are the secrets that a host needs, name → version: those of what is
// placed there, and of the tasks that run there.
func (r *Release) SecretsOn(host string) map[string]string {
	out := map[string]string{}
	use := func(secrets []Secret) {
		for _, s := range secrets {
			if version, ok := r.Secrets[s.Name]; ok {
				out[s.Name] = version
			}
		}
	}
	for _, s := range r.Services {
		if slices.ContainsFunc(r.Placement[host], func(i string) bool { return strings.HasPrefix(i, s.Name+"/") }) {
			use(s.Secrets)
		}
	}
	for _, t := range r.Tasks {
		if r.TaskHost(t.Name) == host {
			use(t.Secrets)
		}
	}
	return out
}

// InstancesOn are the instances of services that are placed on a host.
func (r *Release) InstancesOn(host string) []string {
	return slices.DeleteFunc(slices.Clone(r.Placement[host]), func(i string) bool { return strings.HasPrefix(i, "task.") })
}

// PlacedOn are the services and tasks ("task.NAME") that a host has of the
// release: what is placed there, and the tasks that run there. Sorted.
func (r *Release) PlacedOn(host string) []string {
	var out []string
	for _, instance := range r.InstancesOn(host) {
		service, _, _ := strings.Cut(instance, "/")
		out = append(out, service)
	}
	for _, t := range r.Tasks {
		if r.TaskHost(t.Name) == host {
			out = append(out, "task."+t.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ImagesOn are the digests that a host needs: of what is PlacedOn it. Sorted.
func (r *Release) ImagesOn(host string) []string {
	var out []string
	for _, name := range r.PlacedOn(host) {
		out = append(out, r.Images[name].Digest)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(digest string) bool { return digest == "" })
}
