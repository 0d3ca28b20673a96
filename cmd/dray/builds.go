package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder"
	"dray/builder/buildkit"
	"dray/builder/registry"
	"dray/pipeline"
	"dray/pipeline/config"
	"dray/pipeline/event"
	"dray/pipeline/run"
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
		Target: *target, Dir: b.project.project.Dir, Epoch: b.epoch(ctx, target), NoCache: b.noCache,
		Built: b.builtBefore(built), Pins: b.project.pins(),
	}, sink)
	if err != nil {
		return pipeline.ReleaseImage{}, err
	}
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

// epoch is the time of the last commit that touched the target's context: an
// image's own time changes when its files do, not with every commit.
func (b *targetBuilder) epoch(ctx context.Context, target *pipeline.Target) time.Time {
	if b.project.git.SHA == "" {
		return time.Time{}
	}
	dir := filepath.Join(b.project.project.Dir, target.Context)
	if when, err := config.LastCommit(ctx, dir); err == nil && !when.IsZero() {
		return when
	}
	return b.project.git.Time // a context elsewhere, a git URL for example
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

// imageName is the repository of a target: in the project's registry, or a
// name of its own.
func (p *project) imageName(target string) string {
	if p.project.Registry != nil {
		return path.Join(p.project.Registry.Address, target)
	}
	return p.project.Name + "/" + target
}

// imageMover moves images between the store and registries.
type imageMover struct{ project *project }

// Push brings an image to its repository: under its digest, as latest, and
// under the given tags.
func (m *imageMover) Push(ctx context.Context, image pipeline.ReleaseImage, tags []string, sink event.Sink) error {
	for _, tag := range append([]string{"latest"}, tags...) {
		text := tag
		if !strings.ContainsAny(tag, ":/") {
			text = image.Name + ":" + tag
		}
		ref, err := registry.ParseReference(text, false)
		if err != nil {
			return fmt.Errorf("pushing %s: %w", text, err)
		}
		if err := registry.Push(ctx, m.project.images.Source(), digest.Digest(image.Digest), ref, registry.PushOptions{}, sink); err != nil {
			return err
		}
	}
	return nil
}

// Pin gives the digest of a reference: the one in the lock file, or what its
// registry (or a mirror of it) says now. Hosts can pull it through this
// machine.
func (m *imageMover) Pin(ctx context.Context, text string) (pipeline.ReleaseImage, error) {
	ref, err := registry.ParseReference(text, false)
	if err != nil {
		return pipeline.ReleaseImage{}, err
	}
	pinned := m.project.pins()[ref.Name()]
	var last error
	for _, place := range m.places(ref) {
		d := pinned
		if d == "" {
			desc, err := remote.Head(place, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
			if err != nil {
				last = err
				continue
			}
			d = desc.Digest.String()
		}
		source, err := registry.Remote(place.Context().Name(), registry.RemoteOptions{Keychain: authn.DefaultKeychain, Insecure: strings.HasPrefix(place.Context().Scheme(), "http:")})
		if err != nil {
			last = err
			continue
		}
		m.project.connector.relay.add(source)
		return pipeline.ReleaseImage{Name: ref.Context().Name(), Digest: d}, nil
	}
	return pipeline.ReleaseImage{}, last
}

// places are the reference itself behind the mirrors of its registry.
func (m *imageMover) places(ref name.Reference) []name.Reference {
	registryName := ref.Context().RegistryStr()
	if registryName == name.DefaultRegistry {
		registryName = "docker.io"
	}
	var out []name.Reference
	for _, mirror := range m.project.app.settings.Mirrors[registryName] {
		address := strings.TrimPrefix(strings.TrimPrefix(mirror, "https://"), "http://")
		separator := ":"
		if _, ok := ref.(name.Digest); ok {
			separator = "@"
		}
		place, err := registry.ParseReference(address+"/"+ref.Context().RepositoryStr()+separator+ref.Identifier(), strings.HasPrefix(mirror, "http://"))
		if err == nil { // a mirror that is no address is reported by the builder
			out = append(out, place)
		}
	}
	return append(out, ref)
}

// registrySource says how a host pulls from the project's registry itself.
func (p *project) registrySource(repository string) api.ImageSource {
	source := api.ImageSource{Kind: "registry", Address: repository}
	ref, err := name.NewRepository(repository)
	if err != nil {
		return source // the push has said what is wrong with it
	}
	auth, err := authn.DefaultKeychain.Resolve(ref)
	if err != nil {
		return source
	}
	if c, err := auth.Authorization(); err == nil {
		source.Username, source.Password = c.Username, c.Password
	}
	return source
}
