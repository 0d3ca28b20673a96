package images

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder"
	"dray/pipeline"
	"dray/pipeline/event"
)

// Builder builds targets into the image store. One connection to the builder
// serves all targets of a run.
type Builder struct {
	Images  *Images
	Connect func(ctx context.Context) (builder.Builder, error)
	NoCache bool
	Leave   []string // files and folders that no context includes

	once   sync.Once
	engine builder.Builder
	err    error

	mu      sync.Mutex
	results map[string]builder.Result // by digest
}

// Build builds a target and names it in the image store; what had the name
// before is remembered for as long as there is room. built has the targets
// that its contexts name.
func (b *Builder) Build(ctx context.Context, target *pipeline.Target, built map[string]pipeline.ReleaseImage, sink event.Sink) (pipeline.ReleaseImage, error) {
	b.once.Do(func() { b.engine, b.err = b.Connect(ctx) })
	if b.err != nil {
		return pipeline.ReleaseImage{}, b.err
	}
	m := b.Images
	release, err := m.Store.Hold(ctx)
	if err != nil {
		return pipeline.ReleaseImage{}, err
	}
	defer release()
	result, err := b.engine.Build(ctx, builder.Request{
		Target: *target, Dir: m.Project.Dir, NoCache: b.NoCache,
		Built: b.builtBefore(built), Pins: m.Pins.Bases(), Leave: b.Leave,
	}, sink)
	if err != nil {
		return pipeline.ReleaseImage{}, m.aboutPins(err)
	}
	m.keepBases(result.Bases, sink)
	b.mu.Lock()
	if b.results == nil {
		b.results = map[string]builder.Result{}
	}
	b.results[result.Digest] = result
	b.mu.Unlock()
	image := pipeline.ReleaseImage{Name: m.Name(target.Name), Digest: result.Digest, Size: result.Total}
	descriptor := ocispec.Descriptor{MediaType: result.MediaType, Digest: digest.Digest(result.Digest), Size: result.Size}
	name := m.Project.Name + "/" + target.Name
	if err := errors.Join(m.Store.Tag(ctx, name, descriptor), m.Store.Remember(ctx, name, descriptor)); err != nil {
		return pipeline.ReleaseImage{}, fmt.Errorf("naming the image: %w", err)
	}
	m.wrote.Store(true)
	return image, nil
}

func (b *Builder) builtBefore(built map[string]pipeline.ReleaseImage) map[string]builder.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]builder.Result{}
	for name, image := range built {
		out[name] = b.results[image.Digest]
	}
	return out
}
