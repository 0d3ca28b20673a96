// Package images knows where a project's images are and how they get to a host
// or a registry. It gives pipeline/run its Builder and its Images, and gives a
// deployment the places where hosts find what they lack.
//
//	this user's image store ──┐
//	a registry, or a mirror ──┼─► relay ─► a host, through its own connection
//	hosts of another environment
//
// The way through it: New joins the store, the project and the lock file;
// Builder builds into the store; Push and Pin are what a release's images go
// through on their way; Offer opens the relay for one deployment.
//
// Not here: how an image is built (builder/buildkit), how bytes are spoken of
// (builder/registry), which image a release has (pipeline/run).
package images

import (
	"context"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/event"
)

// Pins keeps which bytes a name of an image means, from run to run.
// Names are as a Dockerfile or the project's file has them, short or whole.
type Pins interface {
	Base(name string) string  // the digest that a name is held to, or ""
	Bases() map[string]string // digests by whole name
	Path() string             // of the file, as people would type it
	KeepBases(found map[string]string) error
}

// Options of New.
type Options struct {
	Project *pipeline.Project
	Store   *registry.Store
	Mirrors map[string][]string // registry's name → addresses that are asked first
	Pins    Pins
	Sink    event.Sink // is told what was pinned
}

// Images are the images of one project in one run.
type Images struct {
	Options
	relay *relay
	wrote atomic.Bool // an image came into the store

	pinning sync.Mutex // held while pins are found and kept
	pinned  map[string]pipeline.ReleaseImage
}

// New joins what a run needs. It opens nothing.
func New(o Options) *Images {
	return &Images{Options: o, relay: newRelay(o.Store.Source()), pinned: map[string]pipeline.ReleaseImage{}}
}

// Prune keeps the image store within bounds, if this run has written to it.
func (m *Images) Prune(ctx context.Context, keep registry.Keep) error {
	if !m.wrote.Load() {
		return nil
	}
	return m.Store.PruneDue(ctx, keep)
}

// Name is the repository of a target: in the project's registry, or a name of
// its own.
func (m *Images) Name(target string) string {
	if m.Project.Registry != nil {
		return path.Join(m.Project.Registry.Address, target)
	}
	return m.Project.Name + "/" + target
}

// insecure tells whether a repository may be spoken to without TLS: the file
// says so of the project's registry.
func (m *Images) insecure(repository string) bool {
	r := m.Project.Registry
	if r == nil || !r.Insecure {
		return false
	}
	host, _, _ := strings.Cut(r.Address, "/")
	return strings.HasPrefix(repository, host+"/")
}

// location is where an image may be: a mirror, or the registry itself.
type location struct {
	ref      name.Reference
	insecure bool
}

func (l location) options() registry.RemoteOptions {
	return registry.RemoteOptions{Keychain: authn.DefaultKeychain, Insecure: l.insecure}
}

// locations are the reference itself behind the mirrors of its registry.
func (m *Images) locations(ref name.Reference) []location {
	registryName := ref.Context().RegistryStr()
	if registryName == name.DefaultRegistry {
		registryName = "docker.io"
	}
	separator := ":"
	if _, ok := ref.(name.Digest); ok {
		separator = "@"
	}
	var out []location
	for _, mirror := range m.Mirrors[registryName] {
		scheme, address, _ := strings.Cut(mirror, "://")
		there, err := registry.ParseReference(address+"/"+ref.Context().RepositoryStr()+separator+ref.Identifier(), scheme == "http")
		if err == nil { // a mirror that is no address is reported by the builder
			out = append(out, location{there, scheme == "http"})
		}
	}
	return append(out, location{ref, m.insecure(ref.Context().Name())})
}
