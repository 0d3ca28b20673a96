package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"dray/pipeline"
	"dray/pipeline/event"
)

// endless builds until it is stopped.
type endless struct{ begun chan struct{} }

func (e endless) Build(ctx context.Context, _ *pipeline.Target, _ map[string]pipeline.ReleaseImage, _ event.Sink) (pipeline.ReleaseImage, error) {
	close(e.begun)
	<-ctx.Done()
	return pipeline.ReleaseImage{}, context.Cause(ctx)
}

// TestBuildIsCancelled expects that a build which ends because a secret is
// missing is not told as one that failed.
func TestBuildIsCancelled(t *testing.T) {
	missing, building := errors.New("no value for TOKEN"), endless{make(chan struct{})}
	var end event.Event
	r := &Runner{
		Project: &pipeline.Project{
			Targets: map[string]*pipeline.Target{"web": {Name: "web"}},
			Environments: []*pipeline.Environment{{
				Name:     "dev",
				Services: map[string]*pipeline.Service{"web": {Image: pipeline.Image{Target: "web"}, Secrets: []pipeline.Secret{{Name: "TOKEN"}}}},
			}},
		},
		Builder: building, Deployer: &fakeEnvironment{},
		Secrets: func(context.Context, string, []string) (map[string]string, map[string]string, error) {
			<-building.begun
			return nil, nil, missing
		},
		Sink: event.Func(func(e event.Event) {
			if e.Type == event.StageFinished {
				end = e
			}
		}),
	}
	if _, err := r.Deploy(t.Context(), "dev"); !errors.Is(err, missing) {
		t.Errorf("deploying: %v", err)
	}
	if end.Stage != "build" || end.State != event.Cancelled || end.Error == "" {
		t.Errorf("the build ended with %+v", end)
	}
}

// counting builds at once, and counts how many at a time.
type counting struct {
	mu      sync.Mutex
	running int
	most    int
}

func (c *counting) Build(_ context.Context, t *pipeline.Target, built map[string]pipeline.ReleaseImage, _ event.Sink) (pipeline.ReleaseImage, error) {
	c.mu.Lock()
	c.running++
	c.most = max(c.most, c.running)
	c.mu.Unlock()
	runtime.Gosched()
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	for _, need := range t.Needs() {
		if built[need].Digest == "" {
			return pipeline.ReleaseImage{}, fmt.Errorf("%s is built before %s", t.Name, need)
		}
	}
	return pipeline.ReleaseImage{Digest: "sha256:" + t.Name}, nil
}

func TestBuildGivesWhatWasNamed(t *testing.T) {
	targets := map[string]*pipeline.Target{
		"base": {Name: "base"}, "web": {Name: "web", Contexts: map[string]string{"b": "target:base"}},
		"api": {Name: "api", Contexts: map[string]string{"b": "target:base"}}, "other": {Name: "other"},
	}
	for _, x := range []struct {
		names    string
		parallel int
		most     int
		want     string
	}{
		{"", 0, 0, ""},
		{"web", 0, 1, "web"},
		{"web base", 0, 1, "base web"},
		{"api other web", 0, 2, "api other web"},
		{"api other web", 1, 1, "api other web"},
	} {
		c := &counting{}
		r := &Runner{Project: &pipeline.Project{Targets: targets}, Builder: c, Sink: event.Discard, Parallel: x.parallel}
		built, err := r.Build(t.Context(), strings.Fields(x.names)...)
		got := slices.Sorted(maps.Keys(built))
		if err != nil || !slices.Equal(got, strings.Fields(x.want)) || c.most > x.most {
			t.Errorf("building %q gave %q (%v), %d at a time", x.names, got, err, c.most)
		}
	}
}
