package assembly

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/targets/store"
	"dray/targets/volume"
)

// imageWith puts an image whose one file is data/name into the store.
func imageWith(t *testing.T, s *store.Store, name string) digest.Digest {
	t.Helper()
	origin, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(mediaType string, b []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		if err := content.WriteBlob(context.Background(), origin.Content(), d.Digest.String(), bytes.NewReader(b), d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	putJSON := func(mediaType string, v any) ocispec.Descriptor {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return put(mediaType, b)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, h := range []tar.Header{{Name: "data/", Mode: 0o755, Typeflag: tar.TypeDir}, {Name: "data/" + name, Mode: 0o644, Typeflag: tar.TypeReg}} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l := put(ocispec.MediaTypeImageLayer, layer.Bytes())
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.Digest}}}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: putJSON(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{l}}
	m.SchemaVersion = 2
	d := putJSON(ocispec.MediaTypeImageManifest, m)
	request := store.PullRequest{Digest: d.Digest, Name: name, Sources: []registry.Source{registry.Local(origin.Content())}}
	if _, err := s.Pull(t.Context(), request, event.Discard); err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

// TestAFillThatWasCutOff fills a volume from an image while the store still
// knows that it was being filled from another one when the host lost power.
func TestAFillThatWasCutOff(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting an image needs root")
	}
	dir := t.TempDir()
	s, err := store.Open(filepath.Join(dir, "store"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	data, err := volume.Open(filepath.Join(dir, "volumes"), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := volumes{data, s, filepath.Join(dir, "run"), &sync.Mutex{}}
	earlier, now := imageWith(t, s, "earlier"), imageWith(t, s, "now")
	if _, err := s.Mount(t.Context(), "fill.shop-prod/data", earlier, true); err != nil {
		t.Fatal(err)
	}
	if err := v.Fill(t.Context(), "shop-prod", "data", now.String(), "/data"); err != nil {
		t.Errorf("filling: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "volumes", "shop-prod", "data", "now")); err != nil {
		t.Errorf("the volume is not filled: %v", err)
	}
	if _, err := s.Mount(t.Context(), "fill.shop-test/data", earlier, true); err != nil {
		t.Fatal(err)
	}
	if err := clearFills(t.Context(), s, v.run); err != nil {
		t.Error(err)
	}
	if left, err := s.Containers(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("the store still knows %v (%v)", left, err)
	}
}
