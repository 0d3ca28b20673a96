package registry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// session is a registry that has been asked who may come in.
//
//	GET /v2/          200 │ 401 Basic │ 401 Bearer, realm ─► token ─┐
//	GET /v2/shop/…    401 Bearer, although /v2/ was open ─► token ──┤
//	GET /v2/shop/…    with what was asked for  ◄────────────────────┘
type session struct {
	registry name.Registry
	auth     authn.Authenticator
	scopes   []string
	base     http.RoundTripper
	account  account

	mu       sync.Mutex
	inner    http.RoundTripper
	answered bool // a challenge of a repository was answered
}

// access says who asks a registry for what.
type access struct {
	repo     name.Repository
	auth     authn.Authenticator
	insecure bool
	scopes   []string
	stall    time.Duration
	base     http.RoundTripper         // nil is a transport made for registries
	paused   func(pause time.Duration) // hears of each wait that the registry asks for; may be nil
}

// login does a registry's first exchange.
func login(ctx context.Context, a access) (*session, error) {
	// The time is for this exchange, and for what the registry lets it wait;
	// what it makes lives on.
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(loginTimeout, cancel)
	defer late.Stop()
	guarded := guard(a.base, a.repo.Registry, a.insecure, a.stall)
	base := retrying(tolerant(siblings(guarded, a.repo.RegistryStr())), func(pause time.Duration) {
		late.Reset(loginTimeout + pause)
		if a.paused != nil {
			a.paused(pause)
		}
	})
	s := &session{
		registry: a.repo.Registry, auth: a.auth, scopes: a.scopes, base: transport.NewUserAgent(base, "dray"),
		account: accountOf(ctx, a.repo.RegistryStr(), a.auth),
	}
	var err error
	if s.inner, err = transport.NewWithContext(bounded, s.registry, s.auth, s.base, s.scopes); err == nil {
		return s, nil
	}
	if bounded.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%s has not answered within %s: %w", s.registry.RegistryStr(), loginTimeout, ErrUnreachable)
	}
	return nil, s.account.explain(err)
}

// transport is the session as go-containerregistry takes it as it is, without
// another exchange.
func (s *session) transport() (http.RoundTripper, error) {
	return transport.FromToken(s.registry, authn.Anonymous, s, &transport.Challenge{}, nil)
}

// RoundTrip implements http.RoundTripper.
func (s *session) RoundTrip(in *http.Request) (*http.Response, error) {
	s.mu.Lock()
	inner := s.inner
	s.mu.Unlock()
	resp, err := inner.RoundTrip(in)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || in.URL.Host != s.registry.RegistryStr() {
		return resp, err
	}
	again, ok := repeat(in)
	if !ok || !s.answer(in.Context(), resp, inner) {
		return resp, nil
	}
	drain(resp)
	s.mu.Lock()
	inner = s.inner
	s.mu.Unlock()
	return inner.RoundTrip(again)
}

// answer takes the challenge of one repository for the registry's: some leave
// /v2/ open and ask at the repository. It tells whether asking again is of use.
func (s *session) answer(ctx context.Context, resp *http.Response, asked http.RoundTripper) bool {
	challenge := resp.Header.Values("Www-Authenticate")
	if len(challenge) == 0 || !strings.HasPrefix(strings.ToLower(challenge[0]), "bearer ") {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered {
		return s.inner != asked // another request has got a token meanwhile
	}
	s.answered = true
	open := &opening{inner: s.base, header: resp.Header, scheme: resp.Request.URL.Scheme}
	rt, err := transport.NewWithContext(ctx, s.registry, s.auth, open, s.scopes)
	if err != nil {
		return false // the first answer says as much
	}
	s.inner = rt
	return true
}

// opening answers the question that opens an exchange with a challenge that is
// known already.
type opening struct {
	inner  http.RoundTripper
	header http.Header
	scheme string
}

// RoundTrip implements http.RoundTripper.
func (o *opening) RoundTrip(in *http.Request) (*http.Response, error) {
	if in.URL.Path != "/v2/" {
		return o.inner.RoundTrip(in)
	}
	if in.URL.Scheme != o.scheme {
		return nil, fmt.Errorf("%s is not what this registry speaks", in.URL.Scheme)
	}
	return &http.Response{
		Status: http.StatusText(http.StatusUnauthorized), StatusCode: http.StatusUnauthorized, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: o.header.Clone(), Body: http.NoBody, Request: in,
	}, nil
}

// tolerant takes answers that mean "done" for it: the specification wants 201
// of the request that ends an upload, registries also answer 200 and 204.
func tolerant(rt http.RoundTripper) http.RoundTripper { return &tolerantTransport{rt} }

type tolerantTransport struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *tolerantTransport) RoundTrip(in *http.Request) (*http.Response, error) {
	resp, err := t.inner.RoundTrip(in)
	if err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return resp, err
	}
	switch {
	case in.Method == http.MethodPut && in.URL.Query().Has("digest"):
		resp.StatusCode = http.StatusCreated
	case in.Method == http.MethodPatch:
		resp.StatusCode = http.StatusAccepted
	}
	return resp, nil
}
