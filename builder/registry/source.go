package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Source is a place that has content, by digest. Implementations are safe for
// concurrent use. An error for content that the source does not have matches
// errdefs.ErrNotFound; one for missing or refused credentials matches
// errdefs.ErrUnauthenticated or errdefs.ErrPermissionDenied.
//
// Bytes from a Source are not verified: the reader compares the digest.
type Source interface {
	// Resolve describes content: digest, size and, for a manifest or index,
	// its media type. A blob's media type is application/octet-stream.
	Resolve(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error)
	// Fetch opens content from the byte at offset on. The media type of desc
	// says whether it is a manifest or a blob. Cancelling ctx ends the reader.
	Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error)
	// String names the source for people.
	String() string
}

// ReadAll reads the whole of desc, at most limit bytes, and verifies size and
// digest.
func ReadAll(ctx context.Context, src Source, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if desc.Size > limit {
		return nil, fmt.Errorf("reading %s: %d bytes, more than the %d allowed", desc.Digest, desc.Size, limit)
	}
	r, err := src.Fetch(ctx, desc, 0)
	if err != nil {
		return nil, fmt.Errorf("reading %s from %s: %w", desc.Digest, src, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s from %s: %w", desc.Digest, src, err)
	}
	if int64(len(b)) > limit || desc.Size > 0 && int64(len(b)) != desc.Size {
		return nil, fmt.Errorf("reading %s from %s: size is not the %d bytes promised", desc.Digest, src, desc.Size)
	}
	if got := desc.Digest.Algorithm().FromBytes(b); got != desc.Digest {
		return nil, fmt.Errorf("reading %s from %s: content has digest %s", desc.Digest, src, got)
	}
	return b, nil
}

// Local is a content store as a Source.
func Local(store content.InfoReaderProvider) Source { return local{store} }

type local struct{ store content.InfoReaderProvider }

func (l local) String() string { return "the local store" }

// Resolve tells manifests from blobs by their JSON, since a content store
// keeps no media types.
func (l local) Resolve(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	if err := d.Validate(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("resolving %q: %w: %w", d, err, errdefs.ErrInvalidArgument)
	}
	info, err := l.store.Info(ctx, d)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaTypeBlob, Digest: d, Size: info.Size}
	if info.Size == 0 || info.Size > MaxManifest {
		return desc, nil
	}
	looks, err := l.startsLikeJSON(ctx, desc)
	if err != nil || !looks {
		return desc, err
	}
	b, err := content.ReadBlob(ctx, l.store, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if m, err := ParseManifest(b); err == nil {
		desc.MediaType, desc.ArtifactType = m.MediaType, m.ArtifactType
	}
	return desc, nil
}

func (l local) startsLikeJSON(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	ra, err := l.store.ReaderAt(ctx, desc)
	if err != nil {
		return false, err
	}
	defer ra.Close()
	head := make([]byte, min(64, desc.Size))
	if _, err := ra.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{")), nil
}

func (l local) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("fetching %q: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	ra, err := l.store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	if offset < 0 || offset > ra.Size() {
		ra.Close()
		return nil, fmt.Errorf("fetching %s from byte %d of %d: %w", desc.Digest, offset, ra.Size(), errdefs.ErrOutOfRange)
	}
	r := io.NewSectionReader(ra, offset, ra.Size()-offset)
	return &localReader{ctx: ctx, Reader: r, Closer: ra}, nil
}

// localReader ends with its context, as every Source's reader does.
type localReader struct {
	ctx context.Context // the lifetime of a reader is the call that opened it
	io.Reader
	io.Closer
}

func (r *localReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
