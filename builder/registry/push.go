package registry

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"dray/pipeline/event"
)

// PushOptions say how an image is sent.
type PushOptions struct {
	Keychain  authn.Keychain    // nil is authn.DefaultKeychain: what docker login and credential helpers wrote
	Insecure  bool              // plain HTTP is allowed; a loopback address needs no leave
	Tags      []string          // further tags in the repository, set in this order once all content is there
	MountFrom []name.Repository // repositories of the same registry that may have layers already
	Jobs      int               // blobs at once; 0 is 4
	Subject   string            // of the progress events; empty is the reference
	Stall     time.Duration     // a transfer in which nothing moves ends after this; 0 is 30s
	Base      http.RoundTripper // nil is a transport made for registries
}

// ParseReference reads "registry/repository:tag" or "…@sha256:…" for Push.
func ParseReference(s string, insecure bool) (name.Reference, error) {
	var opts []name.Option
	if insecure {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(s, opts...)
	if err != nil {
		return nil, fmt.Errorf("reading the image reference %q: %w", s, err)
	}
	return ref, nil
}

// Push sends the image or index with digest d from src to ref. Content that the
// repository has is not sent again, and a tag that leads to it is left alone:
// it may be one that can't be set twice. What the registry then has is read
// back before any further tag leads to it. It reports Progress in bytes.
//
// Errors match errdefs.ErrPermissionDenied, ErrNotFound and ErrUnreachable, or
// are a *LoginError.
func Push(ctx context.Context, src Source, d digest.Digest, ref name.Reference, opts PushOptions, sink event.Sink) error {
	if opts.Subject == "" {
		opts.Subject = ref.String()
	}
	p, err := newPusher(ctx, ref, opts, sink)
	if err == nil {
		err = p.account.explain(p.push(ctx, src, d, sink))
	}
	if err != nil {
		return fmt.Errorf("pushing %s: %w", ref, err)
	}
	return nil
}

// pusher is a repository to which the client has logged in.
type pusher struct {
	ref     name.Reference
	opts    PushOptions
	rt      http.RoundTripper
	account account
}

func newPusher(ctx context.Context, ref name.Reference, opts PushOptions, sink event.Sink) (*pusher, error) {
	if opts.Keychain == nil {
		opts.Keychain = authn.DefaultKeychain
	}
	if opts.Jobs <= 0 {
		opts.Jobs = 4
	}
	if opts.Stall <= 0 {
		opts.Stall = stallTimeout
	}
	repo := ref.Context()
	auth, err := resolveAuth(ctx, opts.Keychain, repo)
	if err != nil {
		return nil, err
	}
	scopes := []string{repo.Scope(transport.PushScope)}
	for _, from := range opts.MountFrom {
		if from.RegistryStr() == repo.RegistryStr() {
			scopes = append(scopes, from.Scope(transport.PullScope))
		}
	}
	session, err := login(ctx, access{
		repo: repo, auth: auth, insecure: opts.Insecure, stall: opts.Stall, base: opts.Base, scopes: scopes,
		paused: func(pause time.Duration) {
			sink.Emit(event.Event{Type: event.Notice, Subject: opts.Subject, Text: fmt.Sprintf("%s is busy and asks to wait for %s", repo.RegistryStr(), pause)})
		},
	})
	if err != nil {
		return nil, err
	}
	rt, err := session.transport()
	return &pusher{ref: ref, opts: opts, rt: rt, account: session.account}, err
}

func (p *pusher) options(ctx context.Context, more ...remote.Option) []remote.Option {
	return append([]remote.Option{
		remote.WithContext(ctx), remote.WithTransport(p.rt), remote.WithJobs(p.opts.Jobs),
		remote.WithRetryBackoff(backoff), remote.WithRetryPredicate(worthRetrying),
	}, more...)
}

func (p *pusher) push(ctx context.Context, src Source, d digest.Digest, sink event.Sink) error {
	image, err := pushable(ctx, src, d, p.ref, p.opts)
	if err != nil {
		return err
	}
	if !p.has(ctx, d) {
		if err := p.send(ctx, image, d, sink); err != nil {
			return err
		}
	}
	for _, tag := range p.opts.Tags {
		if err := p.tag(ctx, p.ref.Context().Tag(tag), d, image); err != nil {
			return fmt.Errorf("tagging it %s: %w", tag, err)
		}
	}
	return nil
}

// has tells whether ref leads to the image already. A registry takes a
// manifest only with all of its content.
func (p *pusher) has(ctx context.Context, d digest.Digest) bool {
	if tag, ok := p.ref.(name.Tag); ok {
		return p.leads(ctx, tag, d)
	}
	return p.readBack(ctx, d) == nil // what is wrong shows when it is sent
}

// leads tells whether a tag is that of the image. A registry that does not say
// so without the content is asked again when the tag is set.
func (p *pusher) leads(ctx context.Context, tag name.Tag, d digest.Digest) bool {
	desc, err := remote.Head(tag, p.options(ctx)...)
	return err == nil && desc.Digest.String() == d.String()
}

// tag makes a tag lead to the image.
func (p *pusher) tag(ctx context.Context, tag name.Tag, d digest.Digest, image remote.Taggable) error {
	if p.leads(ctx, tag, d) {
		return nil
	}
	err := remote.Put(tag, image, p.options(ctx)...)
	if err == nil || p.leads(ctx, tag, d) {
		return nil // another push has set it to the same meanwhile
	}
	if _, other := remote.Head(tag, p.options(ctx)...); other == nil {
		return fmt.Errorf("it leads to another image, and the registry does not let it move: %w", err)
	}
	return err
}

// send brings the image there, and looks whether it is whole.
func (p *pusher) send(ctx context.Context, image remote.Taggable, d digest.Digest, sink event.Sink) error {
	updates := make(chan v1.Update, 64)
	var g errgroup.Group
	g.Go(func() error {
		reportPush(updates, p.opts.Subject, d, sink)
		return nil
	})
	g.Go(func() error { return send(p.ref, image, p.options(ctx, remote.WithProgress(updates))...) })
	if err := g.Wait(); err != nil {
		return err
	}
	return p.readBack(ctx, d)
}

// readBack looks whether the registry has what it took.
func (p *pusher) readBack(ctx context.Context, d digest.Digest) error {
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d}
	if _, err := ReadAll(ctx, p.far(), desc, MaxManifest); err != nil {
		return fmt.Errorf("reading back what the registry took: %w", err)
	}
	return nil
}

// far is the repository as a Source.
func (p *pusher) far() Source {
	repo := p.ref.Context()
	return &httpSource{label: repo.RegistryStr(), repo: repo.RepositoryStr(), stall: p.opts.Stall, connect: func(context.Context) (endpoint, error) {
		return endpoint{p.rt, repo.Scheme() + "://" + repo.RegistryStr(), p.account}, nil
	}}
}

// send closes the channel of updates at its end, as remote.Write does.
func send(ref name.Reference, image remote.Taggable, opts ...remote.Option) error {
	if idx, ok := image.(v1.ImageIndex); ok {
		return remote.WriteIndex(ref, idx, opts...)
	}
	return remote.Write(ref, image.(v1.Image), opts...)
}

// pushable is a v1.Image or v1.ImageIndex whose layers may be mounted.
func pushable(ctx context.Context, src Source, d digest.Digest, ref name.Reference, opts PushOptions) (remote.Taggable, error) {
	desc, err := src.Resolve(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("finding image %s: %w", d, err)
	}
	if !IsManifest(desc.MediaType) {
		return nil, fmt.Errorf("%s is not an image: %w", d, errdefs.ErrInvalidArgument)
	}
	var from name.Reference
	for _, repo := range opts.MountFrom {
		if repo.RegistryStr() == ref.Context().RegistryStr() && repo.RepositoryStr() != ref.Context().RepositoryStr() {
			from = repo.Digest(d.String())
			break // the protocol names one repository a mount
		}
	}
	if IsIndex(desc.MediaType) {
		idx, err := Index(ctx, src, d)
		if err != nil || from == nil {
			return idx, err
		}
		return &mountableIndex{anIndex: idx, from: from}, nil
	}
	img, err := Image(ctx, src, d)
	if err != nil || from == nil {
		return img, err
	}
	return &mountableImage{Image: img, from: from}, nil
}

// mountableImage offers its layers to be mounted from another repository.
type mountableImage struct {
	v1.Image
	from name.Reference
}

// Layers implements v1.Image.
func (m *mountableImage) Layers() ([]v1.Layer, error) {
	layers, err := m.Image.Layers()
	for i, l := range layers {
		layers[i] = &remote.MountableLayer{Layer: l, Reference: m.from}
	}
	return layers, err
}

type mountableIndex struct {
	anIndex
	from name.Reference
}

// anIndex is v1.ImageIndex under another name: embedded by its own, it would
// hide its method ImageIndex.
type anIndex interface{ v1.ImageIndex }

// Image implements v1.ImageIndex.
func (m *mountableIndex) Image(h v1.Hash) (v1.Image, error) {
	img, err := m.anIndex.Image(h)
	if err != nil {
		return nil, err
	}
	return &mountableImage{Image: img, from: m.from}, nil
}

// reportPush turns go-containerregistry's updates into events, at most ten a
// second and a last one.
func reportPush(updates <-chan v1.Update, subject string, d digest.Digest, sink event.Sink) {
	var last v1.Update
	var sent time.Time
	emit := func() {
		sink.Emit(event.Event{
			Type: event.Progress, Stage: "push", Subject: subject, Digest: d.String(), Text: "pushing " + subject,
			Done: last.Complete, Total: last.Total, Unit: "bytes",
		})
	}
	for u := range updates {
		if u.Error != nil {
			continue // Push returns it
		}
		last = u
		if time.Since(sent) >= 100*time.Millisecond {
			sent = time.Now()
			emit()
		}
	}
	if last.Total > 0 {
		emit()
	}
}
