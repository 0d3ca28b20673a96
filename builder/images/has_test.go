package images

import (
	"testing"

	"dray/builder/registry/sourcetest"
	"dray/pipeline"
	"dray/pipeline/event"
)

func TestHas(t *testing.T) {
	store := openStore(t)
	image := sourcetest.Fill(t, store)
	m := New(Options{Project: &pipeline.Project{Name: "shop"}, Store: store, Sink: event.Discard})
	has := func(digest string, want bool) {
		t.Helper()
		if got, err := m.Has(t.Context(), digest); err != nil || got != want {
			t.Errorf("%s is there: %t, %v; want %t", digest, got, err, want)
		}
	}
	has(image.Index.Digest.String(), true)
	has(image.Manifest.Digest.String(), true)
	has("sha256:0000000000000000000000000000000000000000000000000000000000000000", false)
	if err := store.Content().Delete(t.Context(), image.Layer.Digest); err != nil {
		t.Fatal(err)
	}
	has(image.Index.Digest.String(), false)
}
