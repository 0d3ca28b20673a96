package registry

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
)

// ResolveReference asks a registry which digest a reference has now: of the
// index, where the image has one. Errors are as Push gives them.
func ResolveReference(ctx context.Context, ref name.Reference, opts RemoteOptions) (digest.Digest, error) {
	d, err := resolveReference(ctx, ref, opts)
	if err != nil {
		return "", fmt.Errorf("looking up %s: %w", ref, explain(ref.Context().RegistryStr(), err))
	}
	return d, nil
}

func resolveReference(ctx context.Context, ref name.Reference, opts RemoteOptions) (digest.Digest, error) {
	repo := ref.Context()
	auth, err := opts.authenticator(ctx, repo)
	if err != nil {
		return "", err
	}
	base := retrying(guard(opts.Base, repo.Registry, opts.Insecure, cmp.Or(opts.Stall, stallTimeout)))
	rt, err := login(ctx, repo.Registry, auth, base, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return "", err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithTransport(rt)}
	if desc, err := remote.Head(ref, options...); err == nil {
		return digest.Digest(desc.Digest.String()), nil
	}
	// Not every registry tells the digest without the manifest, and an answer
	// to HEAD can't say what is wrong.
	desc, err := remote.Get(ref, options...)
	if err != nil {
		return "", err
	}
	return digest.Digest(desc.Digest.String()), nil
}
