package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"dray/builder"
	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
)

// Pin gives the digest of a reference: the one that is kept, or what its
// registry (or a mirror of it) says now, which is kept from then on. Hosts can
// pull it through this machine.
func (m *Images) Pin(ctx context.Context, text string) (pipeline.ReleaseImage, error) {
	m.pinning.Lock()
	defer m.pinning.Unlock()
	if image, ok := m.pinned[text]; ok {
		return image, nil // every environment of a run gets the same
	}
	ref, err := registry.ParseReference(text, m.insecure(text))
	if err != nil {
		return pipeline.ReleaseImage{}, err
	}
	places := m.locations(ref)
	d, found := m.Pins.Base(text), false
	if exact, isDigest := ref.(name.Digest); isDigest {
		d = exact.DigestStr()
	} else if d == "" {
		if d, err = resolveAt(ctx, places); err != nil {
			return pipeline.ReleaseImage{}, err
		}
		found = true
	}
	for _, place := range places {
		source, err := registry.Remote(place.ref.Context().Name(), place.options())
		if err != nil {
			return pipeline.ReleaseImage{}, err
		}
		m.relay.add(source)
	}
	if found {
		m.keep(map[string]string{text: d}, m.Sink)
	}
	image := pipeline.ReleaseImage{Name: repositoryName(ref), Digest: d}
	m.pinned[text] = image
	return image, nil
}

// repositoryName is a reference's repository as people write it.
func repositoryName(ref name.Reference) string {
	return strings.Replace(ref.Context().Name(), name.DefaultRegistry+"/", "docker.io/", 1)
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

// keepBases pins the images that a build started from and that are not pinned
// yet.
func (m *Images) keepBases(bases []builder.Base, sink event.Sink) {
	m.pinning.Lock()
	defer m.pinning.Unlock()
	found := map[string]string{}
	for _, b := range bases {
		reference, _, exact := strings.Cut(b.Reference, "@")
		if !exact && m.Pins.Base(reference) == "" {
			found[reference] = b.Digest
		}
	}
	m.keep(found, sink)
}

// keep writes what names of images meant into the lock file. That it can't be
// written (a read-only checkout in CI) is told, and is no failure: this run has
// its images.
func (m *Images) keep(found map[string]string, sink event.Sink) {
	if len(found) == 0 {
		return
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		texts = append(texts, fmt.Sprintf("%s at %s", name, phrase.Digest(found[name])))
	}
	what := phrase.List(texts)
	if err := m.Pins.KeepBases(found); err != nil {
		sink.Emit(event.Event{
			Type: event.Warning, Text: fmt.Sprintf("%s could not be pinned, so the next run may get other bytes: %v", what, err),
			Next: "run dray build where the checkout can be written, and check " + filepath.Base(m.Pins.Path()) + " in",
		})
		return
	}
	sink.Emit(event.Event{Type: event.Notice, Text: fmt.Sprintf("%s now pins %s: check it in", m.Pins.Path(), what)})
}

// aboutPins tells how to go on when what is pinned is gone.
func (m *Images) aboutPins(err error) error {
	var failed *builder.Failure
	if !errors.As(err, &failed) {
		return err
	}
	for name, digest := range m.Pins.Bases() {
		if strings.Contains(failed.Error()+failed.Detail(), digest) {
			failed.Next = "dray update " + name + ", if its registry no longer has what " + filepath.Base(m.Pins.Path()) + " pins"
		}
	}
	return err
}

// Repinned is a pin that Update looked at.
type Repinned struct {
	Image string `json:"image"`
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
}

// Update asks registries what names mean now, and pins that. It looks all of
// them up before it changes anything. Names are as Pins has them.
func (m *Images) Update(ctx context.Context, names []string) ([]Repinned, error) {
	changes, found := []Repinned{}, map[string]string{}
	for _, text := range names {
		if strings.Contains(text, "@") {
			return nil, fmt.Errorf("%s says itself which bytes it means: there is nothing to pin", text)
		}
		ref, err := registry.ParseReference(text, m.insecure(text))
		if err != nil {
			return nil, err
		}
		digest, err := resolveAt(ctx, m.locations(ref))
		if err != nil {
			return nil, err
		}
		known := m.Pins.Base(text)
		changes = append(changes, Repinned{Image: text, From: known, To: digest})
		if known != digest {
			found[text] = digest
		}
	}
	if len(found) == 0 {
		return changes, nil
	}
	return changes, m.Pins.KeepBases(found)
}
