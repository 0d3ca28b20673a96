package run

import (
	"context"
	"slices"
	"testing"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
)

// pushes notes what is pushed.
type pushes struct{ names []string }

func (p *pushes) Push(_ context.Context, image pipeline.ReleaseImage, _ []string, _ event.Sink) error {
	p.names = append(p.names, image.Digest)
	return nil
}

func (p *pushes) Pin(_ context.Context, ref string) (pipeline.ReleaseImage, error) {
	return pipeline.ReleaseImage{Name: ref, Digest: "sha256:" + ref}, nil
}

func (p *pushes) Has(context.Context, string) (bool, error) { return false, nil }

// TestPushComesAfterTheGate: what a gate keeps out moves no tag, an environment
// pushes what it runs, and a ship pushes it once.
func TestPushComesAfterTheGate(t *testing.T) {
	of := func(targets ...string) map[string]*pipeline.Service {
		services := map[string]*pipeline.Service{"cache": {Name: "cache", Image: pipeline.Image{Ref: "redis"}}}
		for _, name := range targets {
			services[name] = &pipeline.Service{Name: name, Image: pipeline.Image{Target: name}}
		}
		return services
	}
	project := &pipeline.Project{
		Name: "shop", Registry: &pipeline.Registry{Address: "r.example.com/shop"},
		Targets: map[string]*pipeline.Target{"web": {Name: "web"}, "api": {Name: "api"}},
		Environments: []*pipeline.Environment{
			{Name: "dev", Services: of("web")}, {Name: "both", Services: of("web", "api")}, {Name: "infra", Services: of()},
			{Name: "prod", Services: of("web"), Promotion: &pipeline.Promotion{From: "dev"}},
		},
	}
	tests := []struct {
		name string
		do   func(*Runner) error
		want []string
		err  bool
	}{
		{"an environment pushes its own", func(r *Runner) error { _, err := r.Deploy(t.Context(), "dev"); return err }, []string{"sha256:web"}, false},
		{"one of registry images builds nothing", func(r *Runner) error { _, err := r.Deploy(t.Context(), "infra"); return err }, nil, false},
		{"a gate says no", func(r *Runner) error { _, err := r.Deploy(t.Context(), "prod"); return err }, nil, true},
		{"a ship pushes once, up to the gate", func(r *Runner) error { _, _, err := r.Ship(t.Context()); return err }, []string{"sha256:web", "sha256:api"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := &pushes{}
			r := &Runner{Project: project, Builder: &counting{}, Images: p, Deployer: &fakeEnvironment{}, Sink: event.Discard, Now: time.Now}
			if err := test.do(r); (err != nil) != test.err {
				t.Fatal(err)
			}
			if !slices.Equal(p.names, test.want) {
				t.Errorf("it pushes %q, want %q", p.names, test.want)
			}
		})
	}
}
