package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrUnreachable is matched by errors of a registry that could not be reached,
// or that stopped answering.
var ErrUnreachable = errors.New("unreachable")

// explain says what an error of a registry means. The result is a *LoginError,
// or matches errdefs.ErrPermissionDenied, ErrNotFound or ErrUnreachable.
func explain(host string, err error) error {
	var status *transport.Error
	var login *LoginError
	if errors.As(err, &login) || errors.Is(err, ErrUnreachable) {
		return err // it was explained where it came up
	}
	if errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusUnauthorized:
			return &LoginError{Registry: host, err: err}
		case http.StatusForbidden:
			return fmt.Errorf("%s denies it to this login: %w: %w", host, errdefs.ErrPermissionDenied, err)
		case http.StatusNotFound:
			return fmt.Errorf("%s does not have it: %w: %w", host, errdefs.ErrNotFound, err)
		}
		return err
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Errorf("%s does not speak HTTPS: %w: %w", host, errPlain, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, errPlain) {
		return err
	}
	var op *net.OpError
	var timeout net.Error
	var dns *net.DNSError
	if errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) {
		return fmt.Errorf("%s can't be reached: %w: %w", host, ErrUnreachable, err)
	}
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%s stopped answering: %w: %w", host, ErrUnreachable, err)
	}
	return err
}

// LoginError is the answer of a registry that wants to know who asks. It
// matches errdefs.ErrUnauthenticated.
type LoginError struct {
	Registry string // host[:port]
	err      error
}

func (e *LoginError) Error() string {
	return fmt.Sprintf("%s asks for a login, and was given none or has refused it: %v", e.Registry, e.err)
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
