package run

import (
	"context"
	"errors"
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
