package registry

import (
	"context"
	"dray/pipeline"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrUnreachable is matched by errors of a registry that could not be reached,
// or that stopped answering.
var ErrUnreachable = errors.New("unreachable")

// account is who asks a registry.
type account struct {
	host string // host[:port] of the registry
	user string // the user's name, or "a token"; empty when nobody has logged in
}

func accountOf(ctx context.Context, host string, auth authn.Authenticator) account {
	c, err := authn.Authorization(ctx, auth)
	switch {
	case err != nil || *c == authn.AuthConfig{}:
		return account{host: host}
	case c.Username != "" && c.IdentityToken == "" && c.RegistryToken == "":
		return account{host, c.Username}
	}
	return account{host, "a token"}
}

// explain says what an error of a registry means. The result is a *LoginError,
// or matches errdefs.ErrPermissionDenied, ErrNotFound or ErrUnreachable.
func (a account) explain(err error) error {
	var status *transport.Error
	var login *LoginError
	if err == nil || errors.As(err, &login) || errors.Is(err, ErrUnreachable) {
		return err // it was explained where it came up
	}
	host := a.host
	if errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusUnauthorized:
			return &LoginError{Registry: host, User: a.user, err: err}
		case http.StatusForbidden:
			return fmt.Errorf("%s denies it to this login: %w: %w", host, errdefs.ErrPermissionDenied, err)
		case http.StatusNotFound:
			return fmt.Errorf("%s does not have it: %w: %w", host, errdefs.ErrNotFound, err)
		}
		return err
	}
	var op *net.OpError
	var timeout net.Error
	var dns *net.DNSError
	switch {
	// Plain HTTP is the second try; that the first found nobody is the reason.
	case errors.As(err, &op) && op.Op == "dial", errors.As(err, &dns):
		return fmt.Errorf("%s can't be reached: %w: %w", host, ErrUnreachable, err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%s does not speak HTTPS: %w: %w", host, errPlain, err)
	case errors.Is(err, context.Canceled), errors.Is(err, errPlain):
		return err
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s stopped answering: %w: %w", host, ErrUnreachable, err)
	}
	return err
}

// LoginError is the answer of a registry that wants to know who asks. It
// matches errdefs.ErrUnauthenticated.
type LoginError struct {
	Registry string // host[:port]
	User     string // who asked, or "a token"; empty when nobody has logged in
	err      error
}

// Hint says how to log in.
func (e *LoginError) Hint() pipeline.Hint {
	return pipeline.Hint{Next: "docker login " + e.Registry + ", or another tool that writes ~/.docker/config.json"}
}

func (e *LoginError) Error() string {
	if e.User == "" {
		return fmt.Sprintf("%s asks for a login, and there is none for it: %v", e.Registry, e.err)
	}
	return fmt.Sprintf("%s refuses the login of %s: %v", e.Registry, e.User, e.err)
}

func (e *LoginError) Unwrap() []error { return []error{errdefs.ErrUnauthenticated, e.err} }

var errPlain = errors.New("images and credentials would travel in the clear; if that is meant, write insecure = true in the registry block")

// guard is the transport towards one registry. It refuses plain HTTP except
// to loopback addresses or by leave: go-containerregistry falls back to it for
// every private address, which would send credentials in the clear.
func guard(base http.RoundTripper, reg name.Registry, insecure bool, stall time.Duration) http.RoundTripper {
	if base == nil {
		base = newTransport(stall)
	}
	return &guarded{base: base, host: reg.RegistryStr(), insecure: insecure}
}

type guarded struct {
	base     http.RoundTripper
	host     string
	insecure bool
}

func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" && !g.insecure && !IsLoopback(r.URL.Hostname()) {
		return nil, fmt.Errorf("%s does not speak HTTPS: %w", r.URL.Host, errPlain)
	}
	return g.base.RoundTrip(r)
}

// IsLoopback tells whether a host, without its port, is this very machine.
func IsLoopback(host string) bool {
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
