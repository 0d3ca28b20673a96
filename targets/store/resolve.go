package store

import (
	"context"
	"encoding/json"
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
		if desc, err = p.choose(ctx, m.Manifests); err != nil {
			return Image{}, err
		}
	}
}

func (p *pull) describe(ctx context.Context, desc ocispec.Descriptor, m *registry.Manifest, size int64) (Image, error) {
	if err := m.Runnable(); err != nil {
		return Image{}, fmt.Errorf("it can't be run here: %w", err)
	}
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

// choose takes the manifest of an index that fits the wanted platform best. One
// that the index lists without a platform is asked for its own.
func (p *pull) choose(ctx context.Context, manifests []ocispec.Descriptor) (ocispec.Descriptor, error) {
	match := platforms.Only(p.req.Platform)
	var best ocispec.Descriptor
	var offered []string
	for _, d := range manifests {
		if !registry.IsManifest(d.MediaType) || d.Annotations[attestation] != "" {
			continue
		}
		if d.Platform == nil {
			platform, err := p.platformOf(ctx, d)
			if err != nil {
				return ocispec.Descriptor{}, err
			}
			if d.Platform = platform; platform == nil {
				continue
			}
		}
		offered = append(offered, platforms.Format(*d.Platform))
		if match.Match(*d.Platform) && (best.Platform == nil || match.Less(*d.Platform, *best.Platform)) {
			best = d
		}
	}
	if best.Platform == nil {
		return ocispec.Descriptor{}, fmt.Errorf("the image is not for %s, only for %v: %w", platforms.Format(p.req.Platform), offered, errdefs.ErrNotFound)
	}
	return best, nil
}

// attestation marks, in an index, what says something about an image beside it.
const attestation = "vnd.docker.reference.type"

// platformOf reads an image's platform from its config; nil is something that
// is no image.
func (p *pull) platformOf(ctx context.Context, desc ocispec.Descriptor) (*ocispec.Platform, error) {
	if registry.IsIndex(desc.MediaType) {
		return nil, nil
	}
	p.lease.add(desc.Digest.String())
	b, err := p.document(ctx, desc, registry.MaxManifest)
	if err != nil {
		return nil, err
	}
	m, err := registry.ParseManifest(b)
	if err != nil || m.Config == nil || m.Runnable() != nil {
		return nil, nil //nolint:nilerr // another entry may be what is wanted
	}
	p.lease.add(m.Config.Digest.String())
	if b, err = p.document(ctx, *m.Config, registry.MaxConfig); err != nil {
		return nil, err
	}
	var platform ocispec.Platform
	if json.Unmarshal(b, &platform) != nil || platform.OS == "" {
		return nil, nil
	}
	return &platform, nil
}
