package buildkit

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/solver/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// maxResolves is how many registries are asked at once.
const maxResolves = 8

// Resolve returns the digest that each image reference has in its registry
// now, for Request.Pins: of the index where the image has one. platform
// ("linux/arm64") must be in the image; the builder's own when empty.
func (c *Client) Resolve(ctx context.Context, references []string, platform string) (map[string]string, error) {
	opt := sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: pb.AttrImageResolveModeForcePull}}
	if platform != "" {
		p, err := platforms.Parse(platform)
		if err != nil {
			return nil, fmt.Errorf("resolving base images: %w", err)
		}
		opt.ImageOpt.Platform = &ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
	}
	digests := map[string]string{}
	ask := func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(maxResolves)
		var mu sync.Mutex
		for _, ref := range references {
			group.Go(func() error {
				digest, err := resolve(ctx, gw, ref, opt)
				mu.Lock()
				defer mu.Unlock()
				digests[ref] = digest
				return err
			})
		}
		return gateway.NewResult(), group.Wait()
	}
	auth := authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: authprovider.LoadAuthConfig(c.auth)})
	_, err := c.conn.Build(ctx, client.SolveOpt{Session: []session.Attachable{auth}, Internal: true}, "dray", ask, nil)
	if err != nil {
		return nil, fmt.Errorf("resolving base images: %s", plain(err))
	}
	return digests, nil
}

func resolve(ctx context.Context, gw gateway.Client, ref string, opt sourceresolver.Opt) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("%q: %w", ref, err)
	}
	op := &pb.SourceOp{Identifier: "docker-image://" + reference.TagNameOnly(named).String()}
	meta, err := gw.ResolveSourceMetadata(ctx, op, opt)
	if err != nil {
		return "", err
	}
	if meta.Image == nil {
		return "", fmt.Errorf("%s is not an image", ref)
	}
	return meta.Image.Digest.String(), nil
}
