package buildkit

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/distribution/reference"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"

	"dray/builder"
)

// baseImages collects the images that a build reads. BuildKit asks whoever
// builds whether each source of a build is allowed, as the digest that it was
// resolved to: every one is, and images are noted.
type baseImages struct {
	mu    sync.Mutex
	asked bool
	found map[builder.Base]bool
}

func newBaseImages() *baseImages { return &baseImages{found: map[builder.Base]bool{}} }

// attachable answers the builder's question. Of an image that is named by its
// tag alone it asks back for the digest.
func (b *baseImages) attachable() session.Attachable {
	return policysession.NewPolicyProvider(func(_ context.Context, req *policysession.CheckPolicyRequest) (*policysession.DecisionResponse, *gatewaypb.ResolveSourceMetaRequest, error) {
		source := req.GetSource()
		if !b.note(source.GetSource().GetIdentifier(), source.GetImage().GetDigest()) {
			return nil, &gatewaypb.ResolveSourceMetaRequest{Source: source.GetSource(), Platform: req.GetPlatform()}, nil
		}
		return &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}, nil, nil
	})
}

// note keeps a source that is an image. It is false where that needs the
// digest which the name resolves to.
func (b *baseImages) note(source, resolved string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = true
	image, ok := strings.CutPrefix(source, "docker-image://")
	if !ok {
		return true
	}
	ref, err := reference.Parse(image)
	if err != nil {
		return true // the builder says what is wrong with it
	}
	base := builder.Base{Reference: image, Digest: resolved}
	if exact, ok := ref.(reference.Digested); ok {
		base.Digest = exact.Digest().String()
		if _, tagged := ref.(reference.Tagged); tagged {
			base.Reference = strings.TrimSuffix(image, "@"+base.Digest)
		}
	}
	if base.Digest == "" {
		return false
	}
	b.found[base] = true
	return true
}

// known tells whether the builder asks at all: BuildKit does since 0.27.
func (b *baseImages) known() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// list returns the images in the order of their names.
func (b *baseImages) list() []builder.Base {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []builder.Base
	for base := range b.found {
		all = append(all, base)
	}
	slices.SortFunc(all, func(a, b builder.Base) int { return strings.Compare(a.Reference+a.Digest, b.Reference+b.Digest) })
	return all
}
