package pipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Every answer to "is this the same?" is made here: for plans, approvals,
// revisions, drift and the choice of containers. Two places that answer drift
// apart, and then a plan says that nothing is to do and a deployment restarts a
// database. The order of blocks in the file, and how values are shown to
// people, are no part of any answer.

// ContentHash names what a release runs: image digests, configuration, versions
// of secrets, and places. Two releases with one hash run alike, whatever their
// number, whoever made them and when. It is "sha256:…".
func (r *Release) ContentHash() string {
	return contentHash(r, r.Secrets, r.Placement)
}

// ApprovalHash names the part of the content that a person can say yes to: the
// images and the configuration. Who approves need not have the secrets, and
// where instances go is settled when they go there.
func (r *Release) ApprovalHash() string {
	return contentHash(r, nil, nil)
}

// Same says that bringing r where other runs changes nothing: its content is the
// same, and so is how many releases hosts keep.
func (r *Release) Same(other *Release) bool {
	return r.Retain == other.Retain && r.ContentHash() == other.ContentHash()
}

// SameExceptPlacement says that two releases are the same, wherever their
// instances go.
func (r *Release) SameExceptPlacement(other *Release) bool {
	return r.HashExceptPlacement() == other.HashExceptPlacement()
}

// HashExceptPlacement names the content, wherever the instances go.
func (r *Release) HashExceptPlacement() string {
	return contentHash(r, r.Secrets, nil)
}

// RunsEverywhere tells whether every host runs this very release, whole, and
// under which one name: current holds what each host has confirmed, nil for
// nothing.
func (r *Release) RunsEverywhere(current []*Release) (n ReleaseNumber, same bool) {
	for _, c := range current {
		if c == nil || !r.Same(c) || (n.Known() && n != c.ReleaseNumber()) {
			return ReleaseNumber{}, false
		}
		n = c.ReleaseNumber()
	}
	return n, n.Known()
}

// ContainerFingerprint names everything that a container of a service depends
// on: two containers with one fingerprint run alike, so one need not be replaced
// by the other. How a rollout goes, how many instances there are, and what is
// published where do not belong to it: they change without a new container. It
// is made of the release's own words, not of a runtime's, so that a newer agent
// does not restart what has not changed.
//
// A service that the release does not have has no fingerprint: "".
func (r *Release) ContainerFingerprint(service string) string {
	return r.containerFingerprint(service, Service.Canonical)
}

// OrderedContainerFingerprint is what older agents labelled containers with: the
// order of the file's blocks is part of it.
func (r *Release) OrderedContainerFingerprint(service string) string {
	return r.containerFingerprint(service, func(s Service) Service { s.Ports = slices.Clone(s.Ports); return s })
}

func (r *Release) containerFingerprint(service string, form func(Service) Service) string {
	i := slices.IndexFunc(r.Services, func(s Service) bool { return s.Name == service })
	if i < 0 {
		return ""
	}
	s := form(r.Services[i])
	s.Image, s.Mode, s.Count, s.Update = Image{}, "", 0, Update{}
	for i := range s.Ports {
		s.Ports[i].Publish, s.Ports[i].Address, s.Ports[i].From = 0, nil, nil
	}
	used := map[string]string{}
	for _, secret := range s.Secrets {
		used[secret.Name] = r.Secrets[secret.Name]
	}
	return hash(s, r.Images[service].Digest, used)
}

func contentHash(r *Release, secrets map[string]string, placement map[string][]string) string {
	images := map[string]string{}
	for name, image := range r.Images {
		images[name] = image.Digest
	}
	versions := map[string]string{}
	maps.Copy(versions, secrets)
	places := map[string][]string{}
	for host, names := range placement {
		if len(names) > 0 { // a host without instances is as one that is not there
			places[host] = slices.SortedFunc(slices.Values(names), compareInstances)
		}
	}
	services, tasks := []Service{}, []Task{}
	for _, s := range r.Services {
		services = append(services, s.Canonical())
	}
	for _, t := range r.Tasks {
		tasks = append(tasks, t.Canonical())
	}
	services = sortedBy(services, func(s Service) string { return s.Name })
	tasks = sortedBy(tasks, func(t Task) string { return t.Name })
	return "sha256:" + hash(images, services, tasks, versions, places)
}

// hash is of the values' JSON, whose maps are sorted.
func hash(values ...any) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("pipeline: a release always has a JSON form: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Canonical returns the service with everything sorted whose order says nothing.
// The order of a command's words stays.
func (s Service) Canonical() Service {
	s.Ports = sortedBy(s.Ports, func(p Port) string { return p.Name })
	s.Volumes = sortedBy(s.Volumes, func(v Volume) string { return v.Name })
	s.Secrets = sortedBy(s.Secrets, func(v Secret) string { return v.Name })
	s.Tmpfs = sortedBy(s.Tmpfs, func(path string) string { return path })
	s.CapAdd = sortedBy(s.CapAdd, func(name string) string { return name })
	s.CapDrop = sortedBy(s.CapDrop, func(name string) string { return name })
	return s
}

// Canonical returns the task with everything sorted whose order says nothing.
func (t Task) Canonical() Task {
	t.Volumes = sortedBy(t.Volumes, func(v Volume) string { return v.Name })
	t.Secrets = sortedBy(t.Secrets, func(v Secret) string { return v.Name })
	return t
}

// compareInstances sorts "web/2" before "web/10".
func compareInstances(a, b string) int {
	serviceA, indexA, _ := strings.Cut(a, "/")
	serviceB, indexB, _ := strings.Cut(b, "/")
	return cmp.Or(strings.Compare(serviceA, serviceB), cmp.Compare(len(indexA), len(indexB)), strings.Compare(indexA, indexB))
}

// sortedBy returns a sorted copy.
func sortedBy[T any](list []T, name func(T) string) []T {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return out
}
