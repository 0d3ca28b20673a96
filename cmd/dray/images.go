package main

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/event"
)

// imageName is the repository of a target: in the project's registry, or a
// name of its own.
func (p *project) imageName(target string) string {
	if p.project.Registry != nil {
		return path.Join(p.project.Registry.Address, target)
	}
	return p.project.Name + "/" + target
}

// imageMover moves images between the store and registries.
type imageMover struct {
	project *project

	mu     sync.Mutex
	pinned map[string]pipeline.ReleaseImage // by reference, as the file has it
}

// pushError is an image that did not get to its registry.
type pushError struct{ error }

func (e *pushError) Unwrap() error { return e.error }

// Push brings an image to its repository: under its digest, under the given
// tags, and then as latest. A tag that is a whole reference may name another
// repository.
func (m *imageMover) Push(ctx context.Context, image pipeline.ReleaseImage, tags []string, sink event.Sink) error {
	home, err := registry.ParseReference(image.Name+"@"+image.Digest, m.insecure(image.Name))
	if err != nil {
		return &pushError{err}
	}
	own, elsewhere, err := m.sortTags(home, tags)
	if err != nil {
		return &pushError{err}
	}
	options := registry.PushOptions{Insecure: m.insecure(image.Name), Tags: append(own, "latest"), Subject: image.Name}
	push := func(ref name.Reference) error {
		return registry.Push(ctx, m.project.images.Source(), digest.Digest(image.Digest), ref, options, sink)
	}
	if err := push(home); err != nil {
		return &pushError{err}
	}
	for _, ref := range elsewhere {
		options = registry.PushOptions{Insecure: m.insecure(ref.Context().Name()), MountFrom: []name.Repository{home.Context()}, Subject: ref.String()}
		if err := push(ref); err != nil {
			return &pushError{err}
		}
	}
	return nil
}

// sortTags tells the tags of the image's own repository from references to
// others.
func (m *imageMover) sortTags(home name.Reference, tags []string) (own []string, elsewhere []name.Reference, err error) {
	for _, tag := range tags {
		if !strings.ContainsAny(tag, ":/") {
			own = append(own, tag)
			continue
		}
		ref, err := registry.ParseReference(tag, m.insecure(tag))
		if err != nil {
			return nil, nil, err
		}
		if ref.Context().Name() == home.Context().Name() {
			own = append(own, ref.Identifier())
		} else {
			elsewhere = append(elsewhere, ref)
		}
	}
	own = slices.DeleteFunc(own, func(tag string) bool { return tag == "latest" }) // it comes last, anyway
	return own, elsewhere, nil
}

// insecure tells whether a repository may be spoken to without TLS: the file
// says so of the project's registry.
func (m *imageMover) insecure(repository string) bool { return m.project.insecure(repository) }

func (p *project) insecure(repository string) bool {
	r := p.project.Registry
	if r == nil || !r.Insecure {
		return false
	}
	host, _, _ := strings.Cut(r.Address, "/")
	return strings.HasPrefix(repository, host+"/")
}

// Pin gives the digest of a reference: the one in the lock file, or what its
// registry (or a mirror of it) says now, which the lock file keeps from then
// on. Hosts can pull it through this machine.
func (m *imageMover) Pin(ctx context.Context, text string) (pipeline.ReleaseImage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if image, ok := m.pinned[text]; ok {
		return image, nil // every environment of a run gets the same
	}
	ref, err := registry.ParseReference(text, m.insecure(text))
	if err != nil {
		return pipeline.ReleaseImage{}, err
	}
	places := m.project.places(ref)
	d, ok := m.project.lock.Base(text), true
	if exact, isDigest := ref.(name.Digest); isDigest {
		d = exact.DigestStr()
	} else if d == "" {
		if d, err = resolveAt(ctx, places); err != nil {
			return pipeline.ReleaseImage{}, err
		}
		ok = false
	}
	for _, place := range places {
		source, err := registry.Remote(place.ref.Context().Name(), place.options())
		if err != nil {
			return pipeline.ReleaseImage{}, err
		}
		m.project.connector.relay.add(source)
	}
	if !ok {
		m.project.keepPins(map[string]string{text: d}, m.project.app.view)
	}
	image := pipeline.ReleaseImage{Name: repositoryName(ref), Digest: d}
	if m.pinned == nil {
		m.pinned = map[string]pipeline.ReleaseImage{}
	}
	m.pinned[text] = image
	return image, nil
}

// repositoryName is a reference's repository as people write it.
func repositoryName(ref name.Reference) string {
	return strings.Replace(ref.Context().Name(), name.DefaultRegistry+"/", "docker.io/", 1)
}

// location is where an image may be: a mirror, or the registry itself.
type location struct {
	ref      name.Reference
	insecure bool
}

func (l location) options() registry.RemoteOptions {
	return registry.RemoteOptions{Keychain: authn.DefaultKeychain, Insecure: l.insecure}
}

// resolveAt asks one place after the other which digest a reference has.
func resolveAt(ctx context.Context, places []location) (string, error) {
	var failed []error
	for _, p := range places {
		d, err := registry.ResolveReference(ctx, p.ref, p.options())
		if err == nil {
			return d.String(), nil
		}
		failed = append(failed, err)
	}
	return "", errors.Join(failed...)
}

// places are the reference itself behind the mirrors of its registry.
func (p *project) places(ref name.Reference) []location {
	registryName := ref.Context().RegistryStr()
	if registryName == name.DefaultRegistry {
		registryName = "docker.io"
	}
	separator := ":"
	if _, ok := ref.(name.Digest); ok {
		separator = "@"
	}
	var out []location
	for _, mirror := range p.app.settings.Mirrors[registryName] {
		scheme, address, _ := strings.Cut(mirror, "://")
		there, err := registry.ParseReference(address+"/"+ref.Context().RepositoryStr()+separator+ref.Identifier(), scheme == "http")
		if err == nil { // a mirror that is no address is reported by the builder
			out = append(out, location{there, scheme == "http"})
		}
	}
	return append(out, location{ref, p.insecure(ref.Context().Name())})
}
