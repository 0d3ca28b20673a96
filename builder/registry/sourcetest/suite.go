// Package sourcetest holds the suite that every registry.Source passes.
package sourcetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"dray/builder/registry"
)

// Image is what the suite puts into a store for a Source to show.
type Image struct {
	Index, Manifest, Config, Layer ocispec.Descriptor
	IndexBytes, LayerBytes         []byte
}

// Run checks a Source. Make gives one over a store that holds img, together
// with content that does not belong to img.
func Run(t *testing.T, source func(t *testing.T, store *registry.Store, img Image) registry.Source) {
	store, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img := Fill(t, store)
	src := source(t, store, img)
	for name, check := range map[string]func(*testing.T, registry.Source, Image){
		"resolve": resolve, "fetch whole": fetchWhole, "fetch from an offset": fetchOffset,
		"what is not there": missing, "bad digests": badDigest,
		"cancelled": cancelled, "many at once": many, "named": named,
	} {
		t.Run(name, func(t *testing.T) { check(t, src, img) })
	}
}

// Fill puts an image of one layer (1 MiB of noise) under an index into a
// store, and names it "shop/web:v1".
func Fill(t testing.TB, store *registry.Store) Image {
	t.Helper()
	img := Image{LayerBytes: make([]byte, 1<<20)}
	if _, err := rand.NewChaCha8(sha256.Sum256([]byte(t.Name()))).Read(img.LayerBytes); err != nil {
		t.Fatal(err)
	}
	img.Layer = put(t, store, ocispec.MediaTypeImageLayer, img.LayerBytes)
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{img.Layer.Digest}}
	img.Config = put(t, store, ocispec.MediaTypeImageConfig, marshal(t, config))
	v2 := specs.Versioned{SchemaVersion: 2}
	img.Manifest = put(t, store, ocispec.MediaTypeImageManifest, marshal(t, ocispec.Manifest{
		Versioned: v2, MediaType: ocispec.MediaTypeImageManifest, Config: img.Config, Layers: []ocispec.Descriptor{img.Layer},
	}))
	img.IndexBytes = marshal(t, ocispec.Index{
		Versioned: v2, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{img.Manifest},
	})
	img.Index = put(t, store, ocispec.MediaTypeImageIndex, img.IndexBytes)
	if err := store.Tag(t.Context(), "shop/web:v1", img.Index); err != nil {
		t.Fatal(err)
	}
	return img
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, store *registry.Store, mediaType string, b []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	err := content.WriteBlob(t.Context(), store.Content(), desc.Digest.String(), bytes.NewReader(b), desc)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return desc
}

func resolve(t *testing.T, src registry.Source, img Image) {
	for _, want := range []ocispec.Descriptor{img.Index, img.Manifest, img.Layer, img.Config} {
		got, err := src.Resolve(t.Context(), want.Digest)
		if err != nil || got.Digest != want.Digest || got.Size != want.Size {
			t.Errorf("resolving %s gave %+v (%v), want %+v", want.MediaType, got, err, want)
		}
		if registry.IsManifest(want.MediaType) && got.MediaType != want.MediaType {
			t.Errorf("media type is %s, want %s", got.MediaType, want.MediaType)
		}
	}
}

func fetchWhole(t *testing.T, src registry.Source, img Image) {
	for _, want := range []ocispec.Descriptor{img.Index, img.Manifest, img.Layer, img.Config} {
		if _, err := registry.ReadAll(t.Context(), src, want, 2<<20); err != nil {
			t.Errorf("reading %s: %v", want.MediaType, err)
		}
	}
}

func fetchOffset(t *testing.T, src registry.Source, img Image) {
	size := img.Layer.Size
	for _, offset := range []int64{0, 1, size / 2, size - 1, size} {
		r, err := src.Fetch(t.Context(), img.Layer, offset)
		if err != nil {
			t.Errorf("fetching from byte %d: %v", offset, err)
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(b, img.LayerBytes[offset:]) {
			t.Errorf("from byte %d came %d bytes (%v), want the last %d", offset, len(b), err, size-offset)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func missing(t *testing.T, src registry.Source, _ Image) {
	nowhere := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("not there"), Size: 9}
	if _, err := src.Resolve(t.Context(), nowhere.Digest); !errdefs.IsNotFound(err) {
		t.Errorf("resolving gave %v, want not found", err)
	}
	if _, err := src.Fetch(t.Context(), nowhere, 0); !errdefs.IsNotFound(err) {
		t.Errorf("fetching gave %v, want not found", err)
	}
}

func badDigest(t *testing.T, src registry.Source, _ Image) {
	for _, d := range []digest.Digest{"", "sha256:", "sha256:../../../etc/passwd", "md5:abc", digest.Digest("sha256:" + strings.Repeat("Z", 64))} {
		if _, err := src.Resolve(t.Context(), d); err == nil {
			t.Errorf("resolving %q succeeded", d)
		}
		if r, err := src.Fetch(t.Context(), ocispec.Descriptor{Digest: d}, 0); err == nil {
			r.Close()
			t.Errorf("fetching %q succeeded", d)
		}
	}
}

func cancelled(t *testing.T, src registry.Source, img Image) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := src.Fetch(ctx, img.Layer, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, r); err == nil {
		t.Errorf("after cancelling, %d bytes came and no error", n)
	}
}

func many(t *testing.T, src registry.Source, img Image) {
	var g errgroup.Group
	for range 16 {
		g.Go(func() error {
			_, err := registry.ReadAll(t.Context(), src, img.Layer, 2<<20)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func named(t *testing.T, src registry.Source, _ Image) {
	if src.String() == "" {
		t.Error("the source has no name for people")
	}
}
