package assembly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
	"dray/pipeline/event"
	"dray/targets/agent"
	"dray/targets/api"
	"dray/targets/runtime"
	"dray/targets/store"
)

// retainKey is what the store keeps the images of all releases under.
const retainKey = "agent"

// images is the store as the agent needs it.
type images struct {
	*store.Store
	collecting sync.Mutex
}

var _ agent.Images = (*images)(nil)

// Pull implements agent.Images.
func (s *images) Pull(ctx context.Context, p agent.PullRequest) (int64, error) {
	d, err := digest.Parse(p.Digest)
	if err != nil {
		return 0, fmt.Errorf("%q is not a digest: %w", p.Digest, err)
	}
	sources, err := sourcesOf(p.Sources)
	if err != nil {
		return 0, err
	}
	meter := &meter{next: p.Sink, moved: map[string]int64{}}
	// Kept until a Collect that begins later names what the agent needs.
	key := fmt.Sprintf("%s/%d", retainKey, time.Now().UnixNano())
	_, err = s.Store.Pull(ctx, store.PullRequest{Digest: d, Name: p.Name, Sources: sources, Retain: key}, meter)
	return meter.sum(), spaceFault(p.Name, err)
}

func spaceFault(name string, err error) error {
	var space *store.SpaceError
	if errors.As(err, &space) {
		return api.Errorf(api.CodeSpace, "image %s does not fit: %v", name, space)
	}
	return err
}

func sourcesOf(list []api.ImageSource) ([]registry.Source, error) {
	var sources []registry.Source
	for _, s := range list {
		switch s.Kind {
		case "peer":
			sources = append(sources, registry.Peer(s.Address))
		case "registry":
			source, err := registry.Remote(s.Address, registry.RemoteOptions{
				Username: s.Username, Password: s.Password, Insecure: s.Insecure,
			})
			if err != nil {
				return nil, fmt.Errorf("registry %s: %w", s.Address, err)
			}
			sources = append(sources, source)
		default:
			return nil, api.Errorf(api.CodeBadRequest, "an image can't come from a %q", s.Kind)
		}
	}
	return sources, nil
}

// meter counts the bytes that a pull reports.
type meter struct {
	next  event.Sink
	mu    sync.Mutex
	moved map[string]int64 // by the subject of the progress
}

// Emit implements event.Sink.
func (m *meter) Emit(e event.Event) {
	if e.Type == event.Progress && e.Unit == "bytes" {
		m.mu.Lock()
		m.moved[e.Subject] = max(m.moved[e.Subject], e.Done)
		m.mu.Unlock()
	}
	m.next.Emit(e)
}

func (m *meter) sum() (sum int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.moved {
		sum += n
	}
	return sum
}

// Collect implements agent.Images. What is pulled while it runs is retained
// under a key that it has not seen, and stays.
func (s *images) Collect(ctx context.Context, c agent.Collection) (api.PruneResult, error) {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	pulled, err := s.Retained(ctx)
	if err != nil {
		return api.PruneResult{}, err
	}
	keep, err := c.Needed()
	if err != nil {
		return api.PruneResult{}, err
	}
	all, err := s.Images(ctx)
	if err != nil {
		return api.PruneResult{}, err
	}
	var result api.PruneResult
	var kept []digest.Digest
	for _, image := range all {
		if slices.Contains(keep, image.Digest.String()) || slices.Contains(keep, image.Manifest.String()) {
			kept = append(kept, image.Digest)
			continue
		}
		result.Blobs += len(image.Layers)
		result.Bytes += image.Size
	}
	if c.DryRun {
		return result, nil
	}
	if err := s.Retain(ctx, retainKey, kept); err != nil {
		return api.PruneResult{}, err
	}
	for key := range pulled {
		if key == retainKey {
			continue
		}
		if err := s.Forget(ctx, key); err != nil {
			return api.PruneResult{}, err
		}
	}
	result.Bytes, err = s.GC(ctx, c.Recent)
	return result, err
}

// Volumes implements agent.Images.
func (s *images) Volumes(ctx context.Context, d string) ([]string, error) {
	config, err := roots{s.Store}.Config(ctx, d)
	return runtime.VolumesOf(config), err
}

// roots is the store as the engine needs it.
type roots struct{ *store.Store }

var _ runtime.Images = roots{}

// Config implements runtime.Images. It is read from the image's own document:
// what Docker adds to the OCI's is not in the store's record.
func (s roots) Config(ctx context.Context, d string) (config dockerspec.DockerOCIImage, err error) {
	image, err := s.Image(ctx, digest.Digest(d))
	if err != nil {
		return config, err
	}
	data, err := content.ReadBlob(ctx, s.Content(), ocispec.Descriptor{Digest: image.ConfigDigest})
	if err != nil {
		return config, fmt.Errorf("reading the configuration of image %s: %w", image.Name, err)
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return config, fmt.Errorf("reading the configuration of image %s: %w", image.Name, err)
	}
	return config, nil
}

// Mounts implements runtime.Images.
func (s roots) Mounts(ctx context.Context, containerID, d string) ([]mount.Mount, error) {
	return s.Mount(ctx, containerID, digest.Digest(d), false)
}
