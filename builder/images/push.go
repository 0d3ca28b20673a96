package images

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/event"
)

// PushError is an image that did not get to its registry.
type PushError struct{ Err error }

func (e *PushError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *PushError) Unwrap() error { return e.Err }

// Hint says that hosts come after registries.
func (e *PushError) Hint() pipeline.Hint { return pipeline.Hint{Conclusion: "No host was changed."} }

// Push brings an image to its repository: under its digest, and under the given
// tags. A tag that is a whole reference may name another
// repository. Its error is a *PushError.
func (m *Images) Push(ctx context.Context, image pipeline.ReleaseImage, tags []string, sink event.Sink) error {
	home, err := registry.ParseReference(image.Name+"@"+image.Digest, m.insecure(image.Name))
	if err != nil {
		return &PushError{err}
	}
	own, elsewhere, err := m.sortTags(home, tags)
	if err != nil {
		return &PushError{err}
	}
	options := registry.PushOptions{Insecure: m.insecure(image.Name), Tags: own, Subject: image.Name}
	push := func(ref name.Reference) error {
		return registry.Push(ctx, m.Store.Source(), digest.Digest(image.Digest), ref, options, sink)
	}
	if err := push(home); err != nil {
		return &PushError{err}
	}
	for _, ref := range elsewhere {
		options = registry.PushOptions{Insecure: m.insecure(ref.Context().Name()), MountFrom: []name.Repository{home.Context()}, Subject: ref.String()}
		if err := push(ref); err != nil {
			return &PushError{err}
		}
	}
	return nil
}

// sortTags tells the tags of the image's own repository from references to
// others.
func (m *Images) sortTags(home name.Reference, tags []string) (own []string, elsewhere []name.Reference, err error) {
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
	return own, elsewhere, nil
}
