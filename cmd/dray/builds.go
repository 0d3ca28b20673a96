package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder"
	"dray/builder/buildkit"
	"dray/pipeline"
	"dray/pipeline/config"
	"dray/pipeline/event"
	"dray/pipeline/run"
	"dray/pipeline/secret"
	"dray/targets/api"
)

// targetBuilder joins pipeline/run to the builder. One connection serves all
// targets of a run.
type targetBuilder struct {
	project *project
	noCache bool

	once   sync.Once
	client *buildkit.Client
	err    error

	mu      sync.Mutex
	results map[string]builder.Result // by digest
}

// Build builds a target and names it in the image store.
func (b *targetBuilder) Build(ctx context.Context, target *pipeline.Target, built run.Built, sink event.Sink) (pipeline.ReleaseImage, error) {
	b.once.Do(func() { b.client, b.err = buildkit.Connect(ctx, b.project.app.builderOptions()) })
	if b.err != nil {
		return pipeline.ReleaseImage{}, b.err
	}
	release, err := b.project.images.Hold(ctx)
	if err != nil {
		return pipeline.ReleaseImage{}, err
	}
	defer release()
	result, err := b.client.Build(ctx, builder.Request{
		Target: *target, Dir: b.project.project.Dir, NoCache: b.noCache,
		Built: b.builtBefore(built), Pins: b.project.pins(),
		Leave: []string{config.LockFileName, secret.Folder},
	}, sink)
	if err != nil {
		return pipeline.ReleaseImage{}, b.project.aboutPins(err)
	}
	b.project.keepBases(result.Bases, sink)
	b.mu.Lock()
	if b.results == nil {
		b.results = map[string]builder.Result{}
	}
	b.results[result.Digest] = result
	b.mu.Unlock()
	image := pipeline.ReleaseImage{Name: b.project.imageName(target.Name), Digest: result.Digest, Size: result.Total}
	descriptor := ocispec.Descriptor{MediaType: result.MediaType, Digest: digest.Digest(result.Digest), Size: result.Size}
	if err := b.project.images.Tag(ctx, b.project.project.Name+"/"+target.Name, descriptor); err != nil {
		return pipeline.ReleaseImage{}, fmt.Errorf("naming the image: %w", err)
	}
	return image, nil
}

func (b *targetBuilder) builtBefore(built run.Built) map[string]builder.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]builder.Result{}
	for name, image := range built {
		out[name] = b.results[image.Digest]
	}
	return out
}

// builderOptions says which builder to use.
func (a *app) builderOptions() buildkit.Options {
	return buildkit.Options{
		Address:  a.settings.Builder,
		Images:   filepath.Join(a.settings.DataDir, "images"),
		Embedded: a.embedded(),
	}
}

// embedded says how this user's own builder runs.
func (a *app) embedded() buildkit.Embedded {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return buildkit.Embedded{
		Dir:     filepath.Join(a.settings.DataDir, "builder"),
		Command: []string{self, "builder", "serve"},
		Version: api.BuildVersion, Idle: pipeline.Duration(a.settings.BuilderIdle), Mirrors: a.settings.Mirrors,
	}
}
