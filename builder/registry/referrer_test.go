package registry_test

import (
	"io"
	"log"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"dray/builder/registry"
	"dray/builder/registry/sourcetest"
	"dray/pipeline/event"
)

// TestAttach puts statements beside an image, at registries that list
// referrers and at one that does not.
func TestAttach(t *testing.T) {
	near, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	img := sourcetest.Fill(t, near)
	far, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	quiet := ggcr.Logger(log.New(io.Discard, "", 0))
	for kind, h := range map[string]http.Handler{
		"dray's":            registry.Handler(far.Source(), registry.HandlerOptions{Names: far, Content: far.Content()}),
		"another":           ggcr.New(quiet, ggcr.WithReferrersSupport(true)),
		"without referrers": ggcr.New(quiet),
	} {
		t.Run(kind, func(t *testing.T) {
			repository := serve(t, h) + "/shop/web"
			opts := registry.PushOptions{Keychain: noLogin}
			if err := registry.Push(t.Context(), near.Source(), img.Index.Digest, reference(t, repository+":v1"), opts, event.Discard); err != nil {
				t.Fatal(err)
			}
			subject, err := name.NewDigest(repository + "@" + img.Index.Digest.String())
			if err != nil {
				t.Fatal(err)
			}
			for _, who := range []string{"t1", "t2"} {
				statement := registry.Artifact{
					Type: "application/vnd.in-toto+json", MediaType: "application/vnd.dsse.envelope.v1+json",
					Content: []byte(`{"from":"` + who + `"}`), Annotations: map[string]string{"who": who},
				}
				if err := registry.Attach(t.Context(), subject, []registry.Artifact{statement}, opts); err != nil {
					t.Fatal(err)
				}
			}
			index, err := remote.Referrers(subject)
			if err != nil {
				t.Fatal(err)
			}
			m, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			who := map[string]bool{}
			for _, d := range m.Manifests {
				// go-containerregistry's registry tells the config's type.
				if d.ArtifactType == "application/vnd.in-toto+json" || kind == "another" {
					who[d.Annotations["who"]] = true
				}
			}
			if len(who) != 2 {
				t.Errorf("the referrers are %+v", m.Manifests)
			}
		})
	}
}
