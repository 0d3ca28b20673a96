package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
)

// recorded is a Source that remembers what was read of it, and fails on cue.
type recorded struct {
	content map[digest.Digest][]byte
	fault   error

	mu   sync.Mutex
	read []digest.Digest
}

func (r *recorded) String() string { return "recorded" }

func (r *recorded) Resolve(_ context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	b, ok := r.content[d]
	if !ok {
		return ocispec.Descriptor{}, errdefs.ErrNotFound
	}
	desc := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(b))}
	if m, err := registry.ParseManifest(b); err == nil {
		desc.MediaType = m.MediaType
	}
	return desc, r.fault
}

func (r *recorded) Fetch(_ context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = append(r.read, desc.Digest)
	b, ok := r.content[desc.Digest]
	if !ok || r.fault != nil {
		return nil, errors.Join(r.fault, map[bool]error{false: errdefs.ErrNotFound}[ok])
	}
	return io.NopCloser(bytes.NewReader(b[offset:])), nil
}

// platforms fills a source with an index of images, and gives their digests.
func platforms(t *testing.T, n int) (src *recorded, root digest.Digest, manifests, configs []digest.Digest) {
	t.Helper()
	src = &recorded{content: map[digest.Digest][]byte{}}
	put := func(b []byte) digest.Digest {
		d := digest.FromBytes(b)
		src.content[d] = b
		return d
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for range n {
		img, err := random.Image(100, 1)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := img.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		configs, manifests = append(configs, put(config)), append(manifests, put(raw))
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))})
	}
	b, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	return src, put(b), manifests, configs
}

// TestLimitReadsWhatIsAskedFor fetches one platform of ten.
func TestLimitReadsWhatIsAskedFor(t *testing.T) {
	src, root, manifests, configs := platforms(t, 10)
	limited := limit(src, root)
	for _, d := range []digest.Digest{root, manifests[7], configs[7]} {
		desc, err := limited.Resolve(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.ReadAll(t.Context(), limited, desc, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range manifests {
		if i != 7 && slices.Contains(src.read, m) {
			t.Errorf("manifest %d was read, and nobody asked for it", i)
		}
	}
	if _, err := limited.Resolve(t.Context(), configs[3]); err != nil {
		t.Errorf("content of a manifest that nobody asked for: %v", err)
	}
	if _, err := limited.Resolve(t.Context(), digest.FromString("foreign")); !errdefs.IsNotFound(err) {
		t.Errorf("foreign content: %v", err)
	}
}

// TestLimitTellsFaultsFromAbsence looks that a place that can't be read is not
// taken for one that does not have it, and is asked again.
func TestLimitTellsFaultsFromAbsence(t *testing.T) {
	src, root, _, configs := platforms(t, 2)
	src.fault = registry.ErrUnreachable
	limited := limit(src, root)
	if _, err := limited.Resolve(t.Context(), configs[0]); !errors.Is(err, registry.ErrUnreachable) || errdefs.IsNotFound(err) {
		t.Errorf("the error is %v", err)
	}
	src.fault = nil
	if _, err := limited.Resolve(t.Context(), configs[0]); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestLimitFollowsItsRoots looks that what is no root any more is not shown.
func TestLimitFollowsItsRoots(t *testing.T) {
	src, root, _, configs := platforms(t, 1)
	roots := []digest.Digest{root}
	limited := registry.Limit(src, func() []digest.Digest { return roots })
	if _, err := limited.Resolve(t.Context(), configs[0]); err != nil {
		t.Fatal(err)
	}
	roots = nil
	if _, err := limited.Resolve(t.Context(), configs[0]); !errdefs.IsNotFound(err) {
		t.Errorf("the error is %v", err)
	}
}
