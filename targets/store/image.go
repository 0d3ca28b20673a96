package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
)

// maxLayers is what the kernel's overlay can stack (OVL_MAX_STACK).
const maxLayers = 500

// Image is an image that is on this host, whole and unpacked.
type Image struct {
	Digest       digest.Digest `json:"digest"`   // what was pulled: an index or a manifest
	Manifest     digest.Digest `json:"manifest"` // of this host's platform
	ConfigDigest digest.Digest `json:"config_digest"`
	Name         string        `json:"name"`
	Config       ocispec.Image `json:"config"`
	ChainID      digest.Digest `json:"chain_id"` // of all layers; empty for an image without any
	Layers       []Layer       `json:"layers"`   // lowest first
	Size         int64         `json:"size"`     // compressed, bytes: layers, config and manifest
	Unpacked     int64         `json:"unpacked"` // bytes on the disk
	Pulled       time.Time     `json:"pulled"`   // last asked for by Pull
}

// Layer is one layer of an image.
type Layer struct {
	ocispec.Descriptor               // as it travels
	DiffID             digest.Digest `json:"diff_id"`  // of the tar
	ChainID            digest.Digest `json:"chain_id"` // of this layer and all below
}

// Image gives an image by the digest that was pulled, or by its manifest's.
// The error for one that is not here matches errdefs.ErrNotFound.
func (s *Store) Image(_ context.Context, d digest.Digest) (Image, error) { return s.index.image(d) }

// Has says whether an image is here, whole and unpacked.
func (s *Store) Has(ctx context.Context, d digest.Digest) (bool, error) {
	img, err := s.index.image(d)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.whole(ctx, img)
}

// Images lists all images by name, then digest.
func (s *Store) Images(context.Context) ([]Image, error) {
	found, err := all[Image](s.index, bucketImages)
	if err != nil {
		return nil, err
	}
	list := make([]Image, 0, len(found))
	for _, img := range found {
		list = append(list, img)
	}
	slices.SortFunc(list, func(a, b Image) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(string(a.Digest), string(b.Digest))
	})
	return list, nil
}

// whole says whether an image's snapshot is there. Snapshots stand on their
// parents, so the topmost stands for all.
func (s *Store) whole(ctx context.Context, img Image) (bool, error) {
	if img.ChainID == "" {
		return true, nil
	}
	_, err := s.snap.Stat(ctx, img.ChainID.String())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// newImage ties a manifest to its config. Both are foreign.
func newImage(m *registry.Manifest, config []byte) (Image, error) {
	img := Image{ConfigDigest: m.Config.Digest, Size: m.Config.Size}
	if len(config) > registry.MaxConfig {
		return img, fmt.Errorf("its config has %d bytes, more than %d", len(config), registry.MaxConfig)
	}
	if err := json.Unmarshal(config, &img.Config); err != nil {
		return img, fmt.Errorf("its config can't be read: %w", err)
	}
	diffIDs := img.Config.RootFS.DiffIDs
	switch {
	case img.Config.OS != "linux":
		return img, fmt.Errorf("it is for %q, not linux", img.Config.OS)
	case img.Config.RootFS.Type != "layers":
		return img, errors.New("its config lists no layers: it is not an image to run")
	case len(diffIDs) != len(m.Layers):
		return img, fmt.Errorf("it has %d layers but its config lists %d", len(m.Layers), len(diffIDs))
	case len(diffIDs) > maxLayers:
		return img, fmt.Errorf("it has %d layers, more than %d", len(diffIDs), maxLayers)
	}
	for i, id := range diffIDs {
		if err := id.Validate(); err != nil {
			return img, fmt.Errorf("its config's layer %d: %w", i, err)
		}
		if err := supported(m.Layers[i].MediaType); err != nil {
			return img, err
		}
		img.Size += m.Layers[i].Size
	}
	chain := identity.ChainIDs(slices.Clone(diffIDs))
	for i := range diffIDs {
		img.Layers = append(img.Layers, Layer{Descriptor: m.Layers[i], DiffID: diffIDs[i], ChainID: chain[i]})
		img.ChainID = chain[i]
	}
	return img, nil
}

// supported refuses layers that are not tars, such as encrypted ones.
func supported(mediaType string) error {
	switch mediaType {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd":
		return nil
	}
	return fmt.Errorf("its layer's type %.80q is not supported", mediaType)
}

// content lists the blobs of an image, its root included.
func (img Image) content() []digest.Digest {
	ds := []digest.Digest{img.Digest, img.Manifest, img.ConfigDigest}
	for _, l := range img.Layers {
		ds = append(ds, l.Digest)
	}
	return ds
}

// below is the chain id under layer i; empty under the lowest.
func (img Image) below(i int) digest.Digest {
	if i == 0 {
		return ""
	}
	return img.Layers[i-1].ChainID
}
