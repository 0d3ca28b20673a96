package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
)

// entry is one entry of a layer's tar; the zero type is a regular file.
type entry struct {
	tar.Header
	body string
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}, body}
}

func folder(name string, mode int64) entry {
	return entry{Header: tar.Header{Name: name + "/", Mode: mode, Typeflag: tar.TypeDir}}
}

func link(kind byte, name, target string) entry {
	return entry{Header: tar.Header{Name: name, Linkname: target, Mode: 0o777, Typeflag: kind}}
}

// makeTar writes a layer.
func makeTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// origin is an image store that images are made in and served from.
type origin struct {
	*registry.Store
	t testing.TB
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	s, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &origin{s, t}
}

func (o *origin) put(mediaType string, b []byte) ocispec.Descriptor {
	o.t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	err := content.WriteBlob(context.Background(), o.Content(), desc.Digest.String(), bytes.NewReader(b), desc)
	if err != nil {
		o.t.Fatal(err)
	}
	return desc
}

func (o *origin) putJSON(mediaType string, v any) ocispec.Descriptor {
	o.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.put(mediaType, b)
}

// image makes an image of tars, compressed with gzip.
func (o *origin) image(tars ...[]byte) ocispec.Descriptor {
	o.t.Helper()
	m, config := ocispec.Manifest{}, o.config(tars...)
	for _, b := range tars {
		m.Layers = append(m.Layers, o.put(ocispec.MediaTypeImageLayerGzip, gzipped(o.t, b)))
	}
	return o.manifest(m, config)
}

func (o *origin) config(tars ...[]byte) ocispec.Image {
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	c.RootFS.Type = "layers"
	c.Config.Cmd = []string{"/bin/true"}
	for _, b := range tars {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(b))
	}
	return c
}

func (o *origin) manifest(m ocispec.Manifest, config ocispec.Image) ocispec.Descriptor {
	o.t.Helper()
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	m.Config = o.putJSON(ocispec.MediaTypeImageConfig, config)
	if m.Layers == nil {
		m.Layers = []ocispec.Descriptor{}
	}
	desc := o.putJSON(m.MediaType, m)
	desc.Platform = &config.Platform
	return desc
}

func (o *origin) index(manifests ...ocispec.Descriptor) ocispec.Descriptor {
	o.t.Helper()
	return o.putJSON(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	})
}

// listen serves the origin on a unix socket, through wrap if it is not nil.
func (o *origin) listen(wrap func(http.Handler) http.Handler) (socket string) {
	o.t.Helper()
	h := registry.Handler(o.Source(), registry.HandlerOptions{})
	if wrap != nil {
		h = wrap(h)
	}
	socket = filepath.Join(o.t.TempDir(), "peer.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		o.t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	o.t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return socket
}
