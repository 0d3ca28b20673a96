package store

import (
	"encoding/json"
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
