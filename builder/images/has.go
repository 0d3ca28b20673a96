package images

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
)

// Has says whether the image store has all of an image.
func (m *Images) Has(ctx context.Context, image string) (bool, error) {
	source := m.Store.Source()
	err := registry.Walk(ctx, source, digest.Digest(image), func(desc ocispec.Descriptor, parsed *registry.Manifest) error {
		if parsed != nil {
			return nil
		}
		_, err := source.Resolve(ctx, desc.Digest)
		return err
	})
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
