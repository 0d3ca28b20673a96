package ui

import (
	"errors"
	"testing"

	"dray/pipeline"
)

func TestConclusion(t *testing.T) {
	deployed := func(env string, number int, hex string, unchanged bool) *pipeline.Deployed {
		return &pipeline.Deployed{Release: pipeline.Release{Environment: env, Number: number, Images: imagesNamed("web", hex)}, Unchanged: unchanged}
	}
	withTask := deployed("dev", 1, "aaaa", false)
	withTask.Release.Images["task.migrate"] = pipeline.ReleaseImage{Digest: "sha256:bbbb"}
	tests := []struct {
		name string
		done []*pipeline.Deployed
		want string
	}{
		{"one", []*pipeline.Deployed{deployed("dev", 42, "aaaa", false)}, "dev runs web aaaa (release 42)."},
		{"nothing to do", []*pipeline.Deployed{deployed("dev", 42, "aaaa", true)}, "dev runs web aaaa (release 42). Nothing to do."},
		{"alike", []*pipeline.Deployed{deployed("dev", 42, "aaaa", true), deployed("test", 42, "aaaa", true), deployed("prod", 42, "aaaa", false)}, "dev, test and prod run web aaaa (release 42)."},
		{"differing", []*pipeline.Deployed{deployed("dev", 42, "aaaa", false), deployed("test", 41, "bbbb", false)}, "dev runs web aaaa (release 42).\ntest runs web bbbb (release 41)."},
		{"back to nothing", []*pipeline.Deployed{{Release: pipeline.Release{Environment: "dev"}, From: pipeline.ReleaseNumber{Number: 1}}}, "dev runs nothing again; release 1 is gone."},
		{"a task is no service", []*pipeline.Deployed{withTask}, "dev runs web aaaa (release 1)."},
		{"none", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Conclusion(nil, test.done...).Text; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if got := Conclusion(errors.New("no"), withTask).Text; got != "" {
		t.Errorf("after a failure it concludes %q", got)
	}
}

func imagesNamed(service, hex string) map[string]pipeline.ReleaseImage {
	return map[string]pipeline.ReleaseImage{service: {Name: service, Digest: "sha256:" + hex}}
}
