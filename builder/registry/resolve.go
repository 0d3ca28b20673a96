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
		return "", fmt.Errorf("looking up %s: %w", ref, err)
	}
	return d, nil
}

func resolveReference(ctx context.Context, ref name.Reference, opts RemoteOptions) (digest.Digest, error) {
	repo := ref.Context()
	auth, err := opts.authenticator(ctx, repo)
	if err != nil {
		return "", err
	}
	session, err := login(ctx, access{
		repo: repo, auth: auth, insecure: opts.Insecure, stall: cmp.Or(opts.Stall, stallTimeout), base: opts.Base,
		scopes: []string{repo.Scope(transport.PullScope)},
	})
	if err != nil {
		return "", err
	}
	rt, err := session.transport()
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
		return "", session.account.explain(err)
	}
	return digest.Digest(desc.Digest.String()), nil
}
