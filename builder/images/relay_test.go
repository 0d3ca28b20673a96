package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/builder/registry"
)

// place is a source that has content, or fails.
type place struct {
	name  string
	has   digest.Digest
	fails error
	asked int
}

func (p *place) Resolve(_ context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	p.asked++
	switch {
	case p.fails != nil:
		return ocispec.Descriptor{}, p.fails
	case p.has != d:
		return ocispec.Descriptor{}, errdefs.ErrNotFound
	}
	return ocispec.Descriptor{Digest: d}, nil
}

func (p *place) Fetch(ctx context.Context, desc ocispec.Descriptor, _ int64) (io.ReadCloser, error) {
	if _, err := p.Resolve(ctx, desc.Digest); err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader(p.name)), nil
}

func (p *place) String() string { return p.name }

// TestRelay asks this machine, then the place that answered last, each once,
// however many deployments of a run have named it.
func TestRelay(t *testing.T) {
	layer := digest.FromString("layer")
	local, mirror, host := &place{name: "local"}, &place{name: "mirror"}, &place{name: "p1", has: layer}
	r := newRelay(local)
	for range 20 {
		r.add(mirror)
		r.add(host)
	}
	for range 3 {
		if _, err := r.Resolve(t.Context(), layer); err != nil {
			t.Fatal(err)
		}
	}
	body, err := r.Fetch(t.Context(), ocispec.Descriptor{Digest: layer}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(body); string(text) != "p1" {
		t.Errorf("it came from %s", text)
	}
	if got := fmt.Sprint(local.asked, mirror.asked, host.asked); got != "4 1 4" {
		t.Errorf("the places were asked %s times", got)
	}
}

// TestRelayFails: that nobody has something differs from that somebody could not
// be asked: a host tries the latter again.
func TestRelayFails(t *testing.T) {
	r := newRelay(&place{name: "local"})
	if _, err := r.Resolve(t.Context(), digest.FromString("x")); !errdefs.IsNotFound(err) {
		t.Errorf("nobody has it: %v", err)
	}
	r.add(&place{name: "registry", fails: errors.New("no route to registry")})
	if _, err := r.Resolve(t.Context(), digest.FromString("x")); !errors.Is(err, registry.ErrUnreachable) || !strings.Contains(err.Error(), "no route to registry") {
		t.Errorf("somebody may have it: %v", err)
	}
}
