package images

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
	"dray/pipeline"
	"dray/pipeline/event"
)

// TestLacking asks a host's store what it lacks of an image, by its manifest and
// by its index.
func TestLacking(t *testing.T) {
	mine, theirs := openStore(t), openStore(t)
	image := sourcetest.Fill(t, mine)
	image.Index = index(t, mine, image.Manifest)
	m := New(Options{Project: &pipeline.Project{Name: "shop"}, Store: mine, Sink: event.Discard})
	offer, err := m.Offer(pipeline.Release{Images: map[string]pipeline.ReleaseImage{"web": {Digest: image.Index.Digest.String()}}}, nil, event.Discard)
	if err != nil {
		t.Fatal(err)
	}
	dial := serve(t, theirs)
	layer, digests := pipeline.Bytes(image.Layer.Size), []string{image.Index.Digest.String(), image.Manifest.Digest.String()}
	lacking := func(want pipeline.Bytes) {
		t.Helper()
		each, all, err := offer.Lacking(t.Context(), dial, "amd64", digests)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range digests {
			if each[d] != want {
				t.Errorf("%s: %d bytes to send, want %d", d, each[d], want)
			}
		}
		if all != want { // both are of one layer, which travels once
			t.Errorf("%d bytes to send together, want %d", all, want)
		}
	}
	lacking(layer)
	b, err := content.ReadBlob(t.Context(), mine.Content(), ocispec.Descriptor{Digest: image.Layer.Digest, Size: image.Layer.Size})
	if err == nil {
		err = content.WriteBlob(t.Context(), theirs.Content(), "layer", bytes.NewReader(b), ocispec.Descriptor{Digest: image.Layer.Digest, Size: image.Layer.Size})
	}
	if err != nil {
		t.Fatal(err)
	}
	lacking(0)
	if _, _, err := offer.Lacking(t.Context(), dial, "riscv64", digests[:1]); !errdefs.IsNotFound(err) {
		t.Errorf("an image for another architecture: %v", err)
	}
	if _, _, err := offer.Lacking(t.Context(), dial, "amd64", []string{digest.FromString("x").String()}); !errdefs.IsNotFound(err) {
		t.Errorf("an image that nobody has: %v", err)
	}
	broken := func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	if _, _, err := offer.Lacking(t.Context(), broken, "amd64", digests); err == nil {
		t.Error("a host that can't be asked lacks nothing")
	}
}

// index lists the manifest for amd64, beside an attestation about it.
func index(t *testing.T, s *registry.Store, manifest ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	other := manifest
	manifest.Platform, other.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}, &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	b, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{other, manifest},
	})
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if err == nil {
		err = content.WriteBlob(t.Context(), s.Content(), "index", bytes.NewReader(b), desc)
	}
	if err == nil {
		err = s.Tag(t.Context(), "shop/web:v2", desc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func openStore(t *testing.T) *registry.Store {
	t.Helper()
	s, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve is a host's store on a socket.
func serve(t *testing.T, s *registry.Store) func(context.Context) (net.Conn, error) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: registry.Handler(s.Source(), registry.HandlerOptions{})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
}
