package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
)

// resolve reads the manifest of this host's platform, and its config.
func (p *pull) resolve(ctx context.Context) (Image, error) {
	desc := ocispec.Descriptor{Digest: p.req.Digest, MediaType: ocispec.MediaTypeImageManifest}
	for depth := 0; ; depth++ {
		p.lease.add(desc.Digest.String())
		b, err := p.document(ctx, desc, registry.MaxManifest)
		if err != nil {
			return Image{}, err
		}
		m, err := registry.ParseManifest(b)
		if err != nil {
			return Image{}, fmt.Errorf("reading %s: %w", desc.Digest, err)
		}
		if !registry.IsIndex(m.MediaType) {
			return p.describe(ctx, desc, m, int64(len(b)))
		}
		if depth == 3 {
			return Image{}, errors.New("indexes within indexes, more than 3 deep")
		}
		if desc, err = choose(m.Manifests, p.req.Platform); err != nil {
			return Image{}, err
		}
	}
}

func (p *pull) describe(ctx context.Context, desc ocispec.Descriptor, m *registry.Manifest, size int64) (Image, error) {
	p.lease.add(m.Config.Digest.String())
	config, err := p.document(ctx, *m.Config, registry.MaxConfig)
	if err != nil {
		return Image{}, err
	}
	img, err := newImage(m, config)
	if err != nil {
		return img, fmt.Errorf("it can't be run here: %w", err)
	}
	img.Digest, img.Manifest, img.Name = p.req.Digest, desc.Digest, p.req.Name
	img.Size += size
	return img, nil
}

// choose takes the manifest of an index that fits a platform best.
func choose(manifests []ocispec.Descriptor, want ocispec.Platform) (ocispec.Descriptor, error) {
	match := platforms.Only(want)
	var best *ocispec.Descriptor
	var offered []string
	for i, d := range manifests {
		if d.Platform == nil || !registry.IsManifest(d.MediaType) {
			continue
		}
		offered = append(offered, platforms.Format(*d.Platform))
		if match.Match(*d.Platform) && (best == nil || match.Less(*d.Platform, *best.Platform)) {
			best = &manifests[i]
		}
	}
	if best == nil {
		return ocispec.Descriptor{}, fmt.Errorf("the image is not for %s, only for %v: %w", platforms.Format(want), offered, errdefs.ErrNotFound)
	}
	return *best, nil
}
