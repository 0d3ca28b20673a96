package images

import (
	"testing"

	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/event"
)

// TestOfferedPlaces: a host finds an image in the project's registry where it can
// reach that, and through this machine in any case.
func TestOfferedPlaces(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	store, err := registry.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const web, db = "sha256:1111111111111111111111111111111111111111111111111111111111111111", "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	far, here := pipeline.Host{Name: "p1", Address: "ssh://p1"}, pipeline.Host{Name: "local", Address: pipeline.LocalHost}
	for _, c := range []struct {
		name     string
		registry string // of the project
		host     pipeline.Host
		digest   string
		want     string // kinds
	}{
		{"the project's registry first", "r.example.com/shop", far, web, "registry peer"},
		{"an image of another registry", "r.example.com/shop", far, db, "peer"},
		{"no registry", "", far, web, "peer"},
		{"a registry on this machine", "localhost:5000/shop", far, web, "peer"},
		{"a registry on this machine, which is the host", "localhost:5000/shop", here, web, "registry peer"},
	} {
		p := &pipeline.Project{Name: "shop"}
		if c.registry != "" {
			p.Registry = &pipeline.Registry{Address: c.registry}
		}
		m := New(Options{Project: p, Store: store, Sink: event.Discard})
		release := pipeline.Release{Images: map[string]pipeline.ReleaseImage{
			"web": {Name: m.Name("web"), Digest: web}, "db": {Name: "docker.io/library/postgres", Digest: db},
		}}
		o, err := m.Offer(release, nil, event.Discard)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range o.Sources(t.Context(), c.host, "/run/peer.sock", c.digest) {
			got += " " + s.Kind
		}
		if got != " "+c.want {
			t.Errorf("%s: it finds it in%s, want %s", c.name, got, c.want)
		}
	}
}
