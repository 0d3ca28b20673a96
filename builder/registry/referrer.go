package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/pipeline/event"
)

// Artifact is something that is said about an image.
type Artifact struct {
	Type        string // its artifact type, a media type that readers filter by
	MediaType   string // of Content
	Content     []byte
	Annotations map[string]string
}

// Attach puts artifacts beside an image that a registry has, as referrers: OCI
// image specification 1.1, "Associating artifacts". Where a registry does not
// list referrers by itself, the index under the image's fallback tag does. Of
// opts, Tags and MountFrom mean nothing here.
func Attach(ctx context.Context, subject name.Digest, artifacts []Artifact, opts PushOptions) error {
	p, err := newPusher(ctx, subject, opts, event.Discard)
	if err == nil {
		err = p.account.explain(p.attach(ctx, subject, artifacts))
	}
	if err != nil {
		return fmt.Errorf("attaching to %s: %w", subject, err)
	}
	return nil
}

func (p *pusher) attach(ctx context.Context, subject name.Digest, artifacts []Artifact) error {
	about, err := p.far().Resolve(ctx, digest.Digest(subject.DigestStr()))
	if err != nil {
		return err
	}
	// One after the other: an index under a fallback tag is read, changed and
	// written back.
	for _, a := range artifacts {
		src, root, err := a.source(about)
		if err != nil {
			return err
		}
		img, err := Image(ctx, src, root)
		if err != nil {
			return err
		}
		if err := remote.Write(subject.Context().Digest(root.String()), img, p.options(ctx)...); err != nil {
			return err
		}
	}
	return nil
}

// source makes an artifact's manifest: an empty config, the content as its one
// layer, and the image that it is about.
func (a Artifact) source(about ocispec.Descriptor) (Source, digest.Digest, error) {
	src := memory{}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: a.Type,
		Config:      src.add(ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Data),
		Layers:      []ocispec.Descriptor{src.add(a.MediaType, a.Content)},
		Subject:     &ocispec.Descriptor{MediaType: about.MediaType, Digest: about.Digest, Size: about.Size},
		Annotations: a.Annotations,
	})
	if err != nil {
		return nil, "", fmt.Errorf("encoding the manifest: %w", err)
	}
	return src, src.add(ocispec.MediaTypeImageManifest, manifest).Digest, nil
}

// memory is a Source of a few small things.
type memory map[digest.Digest]held

type held struct {
	ocispec.Descriptor
	content []byte
}

func (m memory) add(mediaType string, b []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	m[desc.Digest] = held{desc, b}
	return desc
}

func (m memory) String() string { return "memory" }

func (m memory) Resolve(_ context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	h, ok := m[d]
	if !ok {
		return ocispec.Descriptor{}, errdefs.ErrNotFound
	}
	return h.Descriptor, nil
}

func (m memory) Fetch(_ context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	h, ok := m[desc.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(h.content[min(offset, h.Size):])), nil
}
