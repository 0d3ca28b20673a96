package run

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/plan"
)

// shelf is an image store and a registry, and notes what is asked of them.
type shelf struct {
	has    string // the digest that the store has
	builds string // what a build comes to
	did    []string
}

func (s *shelf) Build(_ context.Context, target *pipeline.Target, _ map[string]pipeline.ReleaseImage, _ event.Sink) (pipeline.ReleaseImage, error) {
	s.did = append(s.did, "build "+target.Name)
	return pipeline.ReleaseImage{Name: "shop/" + target.Name, Digest: s.builds}, nil
}

func (s *shelf) Push(_ context.Context, image pipeline.ReleaseImage, _ []string, _ event.Sink) error {
	s.did = append(s.did, "push "+image.Digest)
	return nil
}

func (s *shelf) Pin(context.Context, string) (pipeline.ReleaseImage, error) {
	return pipeline.ReleaseImage{}, errors.New("nothing is pinned here")
}

func (s *shelf) Has(_ context.Context, digest string) (bool, error) { return digest == s.has, nil }

// TestDeployPlanned: the planned image is brought, built only where it is not at
// hand, and nothing is pushed that was not planned.
func TestDeployPlanned(t *testing.T) {
	for name, c := range map[string]struct {
		shelf shelf
		count int
		did   []string
		says  string
	}{
		"at hand":           {shelf{has: "sha256:aa", builds: "sha256:bb"}, 2, []string{"push sha256:aa"}, ""},
		"built again":       {shelf{builds: "sha256:aa"}, 2, []string{"build web", "push sha256:aa"}, ""},
		"built as another":  {shelf{builds: "sha256:bb"}, 2, []string{"build web"}, "the image of web is bb; planned was aa"},
		"a file that moved": {shelf{has: "sha256:aa"}, 3, nil, "the file, or a variable that it reads, says otherwise"},
	} {
		t.Run(name, func(t *testing.T) {
			open, shelf := &fakeEnvironment{}, c.shelf
			r := &Runner{
				Project: &pipeline.Project{
					Name: "shop", Registry: &pipeline.Registry{Address: "registry.example.com"},
					Targets: map[string]*pipeline.Target{"web": {Name: "web"}},
					Environments: []*pipeline.Environment{{
						Name: "prod", Hosts: []string{"p1"}, Services: map[string]*pipeline.Service{"web": {Name: "web", Image: pipeline.Image{Target: "web"}, Count: 2}},
					}},
				},
				Builder: &shelf, Images: &shelf, Deployer: open, Sink: event.Discard, Now: time.Now,
			}
			desired := Configured(r.Project.Environments[0])
			desired.Project, desired.Images = "shop", map[string]pipeline.ReleaseImage{"web": {Name: "shop/web", Digest: "sha256:aa"}}
			r.Planned = plan.New(plan.Input{Desired: desired}).Save(plan.Made{})
			r.Project.Environments[0].Services["web"].Count = c.count
			_, err := r.Deploy(t.Context(), "prod")
			var moved *plan.MovedError
			switch {
			case c.says == "" && err != nil:
				t.Errorf("deploying: %v", err)
			case c.says == "" && (open.asked.Expect == nil || open.asked.Release.Images["web"].Digest != "sha256:aa"):
				t.Errorf("it asked for %+v", open.asked)
			case c.says != "" && (!errors.As(err, &moved) || !strings.Contains(err.Error(), c.says) || open.did != ""):
				t.Errorf("deploying: %v, and it did %q; want %q", err, open.did, c.says)
			}
			if !slices.Equal(shelf.did, c.did) {
				t.Errorf("it did %q, want %q", shelf.did, c.did)
			}
		})
	}
}
