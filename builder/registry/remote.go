package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dray/pipeline/phrase"
)

// RemoteOptions say how to reach a registry.
type RemoteOptions struct {
	Username string // with Password; empty asks Keychain
	Password string
	Keychain authn.Keychain    // nil is no credentials
	Insecure bool              // plain HTTP is allowed; a loopback address needs no leave
	Stall    time.Duration     // a transfer in which nothing moves ends after this; 0 is 30s
	Base     http.RoundTripper // nil is a transport made for registries
	Log      *slog.Logger      // nil discards
}

// Remote is the repository of a registry ("registry.example.com/shop/web") as
// a Source. Nothing is dialled before the first call.
func Remote(repository string, opts RemoteOptions) (Source, error) {
	var parse []name.Option
	if opts.Insecure {
		parse = append(parse, name.Insecure)
	}
	repo, err := name.NewRepository(repository, parse...)
	if err != nil {
		return nil, fmt.Errorf("reading the repository %q: %w", repository, err)
	}
	s := &httpSource{label: repo.RegistryStr(), repo: repo.RepositoryStr(), stall: cmp.Or(opts.Stall, stallTimeout)}
	s.connect = func(ctx context.Context) (endpoint, error) {
		auth, err := opts.authenticator(ctx, repo)
		if err != nil {
			return endpoint{}, err
		}
		session, err := login(ctx, access{
			repo: repo, auth: auth, insecure: opts.Insecure, stall: s.stall, base: opts.Base,
			scopes: []string{repo.Scope(transport.PullScope)},
		})
		if err != nil {
			return endpoint{}, err
		}
		return endpoint{session, repo.Scheme() + "://" + repo.RegistryStr(), session.account}, nil
	}
	return s, nil
}

// Peer is a distribution handler that listens on a unix socket.
func Peer(socket string) Source {
	var d net.Dialer
	return Dial("the deployer", "", func(ctx context.Context) (net.Conn, error) {
		return d.DialContext(ctx, "unix", socket)
	})
}

// Dial is a distribution handler at the other end of dial, mounted under
// prefix ("" or "/dray/v1/registry"). Label names it for people.
func Dial(label, prefix string, dial func(ctx context.Context) (net.Conn, error)) Source {
	rt := &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: stallTimeout,
		DisableCompression:    true,
	}
	return &httpSource{label: label, repo: "dray", stall: stallTimeout, connect: func(context.Context) (endpoint, error) {
		return endpoint{rt, "http://peer" + strings.TrimSuffix(prefix, "/"), account{host: label}}, nil
	}}
}

// httpSource reads the distribution protocol.
type httpSource struct {
	label   string
	repo    string
	stall   time.Duration
	connect func(context.Context) (endpoint, error)

	mu     sync.Mutex
	client *http.Client
	there  endpoint
	failed error // why the last connect failed
	asked  time.Time
}

// endpoint is a server that may be asked.
type endpoint struct {
	rt      http.RoundTripper
	base    string // URL, up to "/v2/"
	account account
}

func (s *httpSource) String() string { return s.label }

// dial connects once. A failure holds for a while: each of many blobs would
// wait anew for a place that never answers.
func (s *httpSource) dial(ctx context.Context) (*http.Client, endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, s.there, nil
	}
	if s.failed != nil && time.Since(s.asked) < loginTimeout {
		return nil, endpoint{}, s.failed
	}
	there, err := s.connect(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.failed, s.asked = err, time.Now()
		}
		return nil, endpoint{}, err
	}
	s.client, s.there = &http.Client{Transport: there.rt, CheckRedirect: publicOnly}, there
	return s.client, s.there, nil
}

// Resolve asks for a manifest, then for a blob of that digest.
func (s *httpSource) Resolve(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	if err := d.Validate(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("resolving %q: %w: %w", d, err, errdefs.ErrInvalidArgument)
	}
	desc, err := s.manifest(ctx, d)
	if errdefs.IsNotFound(err) {
		desc, err = s.head(ctx, ocispec.Descriptor{Digest: d, MediaType: mediaTypeBlob})
	}
	if err == nil && desc.Size < 0 {
		err = fmt.Errorf("resolving %s at %s: the answer has no length", d, s)
	}
	return desc, err
}

// manifest describes a manifest. Where the answer's header does not say what
// it is, or how long, the content does: some registries, and caches before
// them, call every manifest JSON or text.
func (s *httpSource) manifest(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	desc, err := s.head(ctx, ocispec.Descriptor{Digest: d, MediaType: ocispec.MediaTypeImageManifest})
	if err != nil || desc.Size >= 0 && IsManifest(desc.MediaType) {
		return desc, err
	}
	b, err := ReadAll(ctx, s, ocispec.Descriptor{Digest: d, MediaType: ocispec.MediaTypeImageManifest}, MaxManifest)
	if err != nil {
		return desc, err
	}
	m, err := ParseManifest(b)
	if err != nil {
		return desc, fmt.Errorf("resolving %s at %s: %w", phrase.Digest(d.String()), s, err)
	}
	return ocispec.Descriptor{Digest: d, Size: int64(len(b)), MediaType: m.MediaType, ArtifactType: m.ArtifactType}, nil
}

// head asks for content's header. A size that is not told is -1.
func (s *httpSource) head(ctx context.Context, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	resp, err := s.do(ctx, http.MethodHead, desc, 0)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	resp.Body.Close()
	out := ocispec.Descriptor{Digest: desc.Digest, Size: resp.ContentLength, MediaType: mediaTypeBlob}
	if IsManifest(desc.MediaType) {
		out.MediaType, _, _ = strings.Cut(resp.Header.Get("Content-Type"), ";")
	}
	return out, nil
}

// Fetch uses a Range request where offset is not 0; a server that does not know
// ranges costs the bytes before offset.
func (s *httpSource) Fetch(ctx context.Context, desc ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("fetching %q: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	if offset > 0 && offset == desc.Size {
		return http.NoBody, nil // a range of nothing can't be asked for
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := s.do(ctx, http.MethodGet, desc, offset) //nolint:bodyclose // the body is what is returned
	if offset > 0 && errors.Is(err, errNoRange) {
		resp, err = s.do(ctx, http.MethodGet, desc, 0) //nolint:bodyclose // the body is what is returned
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	body := newBody(ctx, resp, s.stall, cancel)
	if offset > 0 && resp.StatusCode != http.StatusPartialContent {
		if _, err := io.CopyN(io.Discard, body, offset); err != nil {
			body.Close()
			return nil, fmt.Errorf("skipping to byte %d of %s from %s: %w", offset, desc.Digest, s, err)
		}
	}
	return body, nil
}

func (s *httpSource) do(ctx context.Context, method string, desc ocispec.Descriptor, offset int64) (*http.Response, error) {
	client, there, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	kind := "blobs"
	if IsManifest(desc.MediaType) {
		kind = "manifests"
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s/v2/%s/%s/%s", there.base, s.repo, kind, desc.Digest), nil)
	if err != nil {
		return nil, fmt.Errorf("asking %s for %s: %w", s, desc.Digest, err)
	}
	if kind == "manifests" {
		req.Header["Accept"] = manifestTypes
	}
	if offset > 0 {
		req.Header.Set("Range", byteRange(offset, desc.Size))
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s for %s: %w", s, phrase.Digest(desc.Digest.String()), there.account.explain(brief(err)))
	}
	if err := checkStatus(resp, offset); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("asking %s for %s: %w", s, phrase.Digest(desc.Digest.String()), there.account.explain(brief(err)))
	}
	return resp, nil
}

// brief leaves out of an error's text what is said beside it: the address, and
// the digest in it.
func brief(err error) error {
	var status *transport.Error
	if errors.As(err, &status) && len(status.Errors) > 0 {
		var texts []string
		for _, d := range status.Errors {
			texts = append(texts, cmp.Or(d.Message, string(d.Code)))
		}
		return &briefly{strings.Join(texts, "; "), err}
	}
	var u *url.Error
	if errors.As(err, &u) {
		return &briefly{u.Err.Error(), err}
	}
	return err
}

type briefly struct {
	text string
	err  error
}

func (b *briefly) Error() string { return b.text }
func (b *briefly) Unwrap() error { return b.err }

// byteRange names the last byte too where it is known: some registries refuse
// open ranges.
func byteRange(offset, size int64) string {
	if size > offset {
		return fmt.Sprintf("bytes=%d-%d", offset, size-1)
	}
	return fmt.Sprintf("bytes=%d-", offset)
}

// errNoRange is the answer of a server that does not serve a range.
var errNoRange = errors.New("the range is refused")

// checkStatus makes an error of any answer that is not the content asked for.
func checkStatus(resp *http.Response, offset int64) error {
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return errNoRange
	}
	if err := transport.CheckError(resp, http.StatusOK, http.StatusPartialContent); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var from int64
	if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &from); err != nil || from != offset {
		return fmt.Errorf("asked for bytes from %d, got %q", offset, resp.Header.Get("Content-Range"))
	}
	return nil
}
