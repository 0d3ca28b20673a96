package images

import (
	"testing"

	"dray/pipeline"
	"dray/pipeline/config"
	"dray/pipeline/event"
)

const pinned = "sha256:5218d7f5566369f0bb65a7f89276cf4816088f7fb111c910a2145fa38e4a2190"

// A name is held by the lock file however short the project's file writes it:
// otherwise each environment would get what its registry has at the moment.
func TestPinsHoldShortNames(t *testing.T) {
	lock, diags := config.ReadLock(t.TempDir())
	if lock == nil {
		t.Fatal(diags)
	}
	if err := lock.KeepBases(map[string]string{"shop/box:1": pinned}); err != nil {
		t.Fatal(err)
	}
	m := New(Options{Project: &pipeline.Project{Name: "shop"}, Store: openStore(t), Pins: lock, Sink: event.Discard})
	for _, name := range []string{"shop/box:1", "docker.io/shop/box:1"} {
		image, err := m.Pin(t.Context(), name)
		if err != nil || image.Digest != pinned {
			t.Errorf("%s: got %v, %v", name, image, err)
		}
	}
}
