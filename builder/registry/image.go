package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is the image whose manifest has digest d in src, with layers that are
// read when they are asked for. ctx is for all reads, also the later ones.
func Image(ctx context.Context, src Source, d digest.Digest) (v1.Image, error) {
	doc, err := readDocument(ctx, src, d)
	if err != nil {
		return nil, err
	}
	if IsIndex(string(doc.mediaType)) {
		return nil, fmt.Errorf("%s is an index, not an image: %w", d, errdefs.ErrInvalidArgument)
	}
	return partial.CompressedToImage(&image{document: doc})
}

// Index is the index with digest d in src.
func Index(ctx context.Context, src Source, d digest.Digest) (v1.ImageIndex, error) {
	doc, err := readDocument(ctx, src, d)
	if err != nil {
		return nil, err
	}
	if !IsIndex(string(doc.mediaType)) {
		return nil, fmt.Errorf("%s is an image, not an index: %w", d, errdefs.ErrInvalidArgument)
	}
	return &index{document: doc}, nil
}

// document is a manifest or an index that has been read and verified.
type document struct {
	ctx       context.Context // v1.Image's methods take none
	src       Source
	hash      v1.Hash
	raw       []byte
	manifest  *Manifest
	mediaType types.MediaType
}

func readDocument(ctx context.Context, src Source, d digest.Digest) (document, error) {
	desc, err := src.Resolve(ctx, d)
	if err != nil {
		return document{}, fmt.Errorf("finding image %s: %w", d, err)
	}
	if desc.MediaType == mediaTypeBlob {
		desc.MediaType = ocispec.MediaTypeImageManifest // some sources can't tell before it is read
	}
	b, err := ReadAll(ctx, src, desc, MaxManifest)
	if err != nil {
		return document{}, err
	}
	m, err := ParseManifest(b)
	if err != nil {
		return document{}, fmt.Errorf("reading image %s: %w", d, err)
	}
	hash, err := v1.NewHash(d.String())
	if err != nil {
		return document{}, fmt.Errorf("reading image %s: %w", d, err)
	}
	return document{ctx: ctx, src: src, hash: hash, raw: b, manifest: m, mediaType: types.MediaType(m.MediaType)}, nil
}

func (d document) RawManifest() ([]byte, error)        { return d.raw, nil }
func (d document) MediaType() (types.MediaType, error) { return d.mediaType, nil }
func (d document) Digest() (v1.Hash, error)            { return d.hash, nil }
func (d document) Size() (int64, error)                { return int64(len(d.raw)), nil }

// image is the part of a v1.Image that partial.CompressedToImage completes.
type image struct{ document }

// RawConfigFile implements v1.Image. The content of an artifact's config may
// be anything.
func (i *image) RawConfigFile() ([]byte, error) {
	return ReadAll(i.ctx, i.src, *i.manifest.Config, MaxConfig)
}

// LayerByDigest implements partial.CompressedImageCore.
func (i *image) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range i.manifest.Children() {
		if d.Digest.String() == h.String() {
			return &layer{ctx: i.ctx, src: i.src, desc: d, hash: h}, nil
		}
	}
	return nil, fmt.Errorf("layer %s: %w", h, errdefs.ErrNotFound)
}

// MaxConfig is the size of the largest image config that is read.
const MaxConfig = 8 << 20

// layer is a partial.CompressedLayer.
type layer struct {
	ctx  context.Context // v1.Layer's methods take none
	src  Source
	desc ocispec.Descriptor
	hash v1.Hash
}

func (l *layer) Digest() (v1.Hash, error)            { return l.hash, nil }
func (l *layer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *layer) MediaType() (types.MediaType, error) { return types.MediaType(l.desc.MediaType), nil }

// Compressed opens the layer as it is stored; its digest is verified at the
// end of the stream.
func (l *layer) Compressed() (io.ReadCloser, error) {
	rc, err := l.src.Fetch(l.ctx, l.desc, 0)
	if err != nil {
		return nil, fmt.Errorf("reading layer %s from %s: %w", l.hash, l.src, err)
	}
	return verifying(rc, l.desc), nil
}

// verifying is r, ending in an error when size or digest are not as promised.
func verifying(r io.ReadCloser, desc ocispec.Descriptor) io.ReadCloser {
	return &verifier{ReadCloser: r, desc: desc, left: desc.Size, check: desc.Digest.Verifier()}
}

type verifier struct {
	io.ReadCloser
	desc  ocispec.Descriptor
	left  int64
	check digest.Verifier
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.left -= int64(n)
	if v.left < 0 {
		return 0, fmt.Errorf("%s is longer than the %d bytes promised", v.desc.Digest, v.desc.Size)
	}
	v.check.Write(p[:n]) //nolint:errcheck // a hash never fails
	if err == io.EOF && (v.left != 0 || !v.check.Verified()) {
		return n, fmt.Errorf("%s: content has another digest or ended %d bytes early: %w", v.desc.Digest, v.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

// index is a v1.ImageIndex.
type index struct{ document }

// IndexManifest implements v1.ImageIndex.
func (i *index) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.raw))
}

// Image implements v1.ImageIndex.
func (i *index) Image(h v1.Hash) (v1.Image, error) {
	return Image(i.ctx, i.src, digest.Digest(h.String()))
}

// ImageIndex implements v1.ImageIndex.
func (i *index) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	return Index(i.ctx, i.src, digest.Digest(h.String()))
}
