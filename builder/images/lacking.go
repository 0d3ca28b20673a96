package images

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"dray/builder/registry"
	"dray/pipeline"
)

// mostQuestions is how many layers a host is asked for at a time.
const mostQuestions = 8

// Lacking sums up what a host would be sent of images: of each, by digest, and
// of all together, for what they share travels once. Layers count; the few
// kilobytes of manifests do not. The host's store is asked through dial, and
// nothing changes there.
func (o *Offer) Lacking(ctx context.Context, dial func(ctx context.Context) (net.Conn, error), arch string, digests []string) (map[string]pipeline.Bytes, pipeline.Bytes, error) {
	layers := map[string][]ocispec.Descriptor{} // by image
	asked := map[digest.Digest]int64{}
	for _, image := range digests {
		found, err := o.images.layers(ctx, digest.Digest(image), arch)
		if err != nil {
			return nil, 0, err
		}
		layers[image] = found
		for _, l := range found {
			asked[l.Digest] = l.Size
		}
	}
	missing, err := missingAt(ctx, registry.Dial("the host", "", dial), asked)
	if err != nil {
		return nil, 0, err
	}
	each, all := map[string]pipeline.Bytes{}, pipeline.Bytes(0)
	for _, image := range digests {
		each[image] = 0
		counted := map[digest.Digest]bool{}
		for _, l := range layers[image] {
			if missing[l.Digest] && !counted[l.Digest] {
				counted[l.Digest] = true
				each[image] += pipeline.Bytes(l.Size)
			}
		}
	}
	for d := range missing {
		all += pipeline.Bytes(asked[d])
	}
	return each, all, nil
}

// missingAt asks a place which content it has not got.
func missingAt(ctx context.Context, place registry.Source, content map[digest.Digest]int64) (map[digest.Digest]bool, error) {
	missing := map[digest.Digest]bool{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mostQuestions)
	for d := range content {
		group.Go(func() error {
			_, err := place.Resolve(ctx, d)
			if err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("asking for %s: %w", d, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				missing[d] = true
			}
			return nil
		})
	}
	return missing, group.Wait()
}

// layers are those of an image for linux on an architecture.
func (m *Images) layers(ctx context.Context, image digest.Digest, arch string) ([]ocispec.Descriptor, error) {
	for range 3 { // indexes within indexes are no deeper
		desc, err := m.relay.Resolve(ctx, image)
		if err != nil {
			return nil, err
		}
		raw, err := registry.ReadAll(ctx, m.relay, desc, registry.MaxManifest)
		if err != nil {
			return nil, err
		}
		manifest, err := registry.ParseManifest(raw)
		if err != nil {
			return nil, err
		}
		if !registry.IsIndex(manifest.MediaType) {
			return manifest.Layers, nil
		}
		best := fitting(manifest.Manifests, platforms.Only(ocispec.Platform{OS: "linux", Architecture: arch}))
		if best.Digest == "" {
			return nil, fmt.Errorf("image %s is not for linux/%s: %w", image, arch, errdefs.ErrNotFound)
		}
		image = best.Digest
	}
	return nil, errors.New("indexes within indexes, more than 3 deep")
}

// fitting is the manifest that a host would pull. One that the index lists
// without a platform is taken where no other fits: the host reads its config.
func fitting(manifests []ocispec.Descriptor, match platforms.MatchComparer) ocispec.Descriptor {
	var best ocispec.Descriptor
	for _, d := range manifests {
		switch {
		case d.Platform == nil && best.Digest == "":
			best = d
		case d.Platform != nil && match.Match(*d.Platform) && (best.Platform == nil || match.Less(*d.Platform, *best.Platform)):
			best = d
		}
	}
	return best
}
