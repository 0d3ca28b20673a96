package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"dray/builder/registry"
)

// FuzzImage: a manifest and a config that are accepted give an image whose
// layers fit together.
func FuzzImage(f *testing.F) {
	d := digest.FromString("x").String()
	manifest := `{"schemaVersion":2,"config":{"digest":"` + d + `","size":1},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"` + d + `","size":1}]}`
	f.Add([]byte(manifest), []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["`+d+`"]}}`))
	f.Add([]byte(manifest), []byte(`{"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	f.Add([]byte(manifest), []byte(`{"os":"linux","rootfs":{"type":"layers","diff_ids":["../../x"]}}`))
	f.Add([]byte(manifest), []byte(`null`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		m, err := registry.ParseManifest(manifest)
		if err != nil || registry.IsIndex(m.MediaType) {
			return
		}
		img, err := newImage(m, config)
		if err != nil {
			return
		}
		if len(img.Layers) != len(m.Layers) || len(img.Layers) != len(img.Config.RootFS.DiffIDs) || len(img.Layers) > maxLayers {
			t.Fatalf("%d layers of %d", len(img.Layers), len(m.Layers))
		}
		for _, l := range img.Layers {
			if l.ChainID.Validate() != nil || l.DiffID.Validate() != nil || l.Digest.Validate() != nil {
				t.Errorf("layer %+v", l)
			}
		}
		if b, err := json.Marshal(img); err != nil || len(b) == 0 {
			t.Errorf("an image that can't be recorded: %v", err)
		}
	})
}

// FuzzInflate: no stream hangs, overruns its limit, or gives a digest that is
// not that of what came out.
func FuzzInflate(f *testing.F) {
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(bytes.Repeat([]byte("dray"), 1000)); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(gz.Bytes(), true)
	f.Add(gz.Bytes()[:20], true)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0}, true)
	f.Add([]byte("plain"), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, whole bool) {
		const limit = 1 << 20
		var out bytes.Buffer
		d, err := inflate(context.Background(), bytes.NewReader(b), limit, &share{of: &budget{left: amount{stream: limit}}}, func(_ context.Context, r io.Reader) error {
			if !whole {
				return nil
			}
			_, err := io.Copy(&out, r)
			return err
		})
		if out.Len() > limit {
			t.Fatalf("%d bytes came out", out.Len())
		}
		if err == nil && whole && d != digest.FromBytes(out.Bytes()) {
			t.Errorf("digest %s is not that of what came out", d)
		}
	})
}
