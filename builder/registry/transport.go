package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	// stallTimeout ends a transfer in which nothing moves for so long.
	stallTimeout = 30 * time.Second
	// dialTimeout is how long a registry's machine may take to answer at all:
	// a firewall that drops what it does not like never does.
	dialTimeout = 5 * time.Second
	// loginTimeout is how long the first exchange may take: version, and token
	// where one is asked for.
	loginTimeout = 10 * time.Second
)

// stalled ends a transfer in which nothing moves. It is no reason to try the
// same place again.
func stalled(after time.Duration) error {
	return fmt.Errorf("nothing moved for %s: %w", after, ErrUnreachable)
}

// newTransport is go-containerregistry's transport with an end to all waiting.
func newTransport(stall time.Duration) http.RoundTripper {
	t := remote.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = stall
	d := &net.Dialer{Timeout: dialTimeout, KeepAlive: stallTimeout}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &sending{conn, stall}, nil
	}
	return t
}

// sending is a connection whose writes end when the other end takes nothing.
// What is read is watched by body and by the wait for an answer's header.
type sending struct {
	net.Conn
	stall time.Duration
}

func (c *sending) Write(p []byte) (n int, err error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	n, err = c.Conn.Write(p)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		err = stalled(c.stall)
	}
	return n, err
}

// login does a registry's first exchange. What it returns asks for nothing
// more than to be used: go-containerregistry takes it as it is.
func login(ctx context.Context, reg name.Registry, auth authn.Authenticator, rt http.RoundTripper, scopes []string) (http.RoundTripper, error) {
	// The time is for this exchange; what it makes lives on.
	bounded, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	out, err := transport.NewWithContext(bounded, reg, auth, rt, scopes)
	if err == nil {
		return out, nil
	}
	if bounded.Err() != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%s has not answered within %s: %w", reg.RegistryStr(), loginTimeout, ErrUnreachable)
	}
	return nil, explain(reg.RegistryStr(), err)
}

// retrying asks again where a registry is busy or a connection broke.
func retrying(rt http.RoundTripper) http.RoundTripper {
	return transport.NewRetry(rt, transport.WithRetryBackoff(backoff), transport.WithRetryPredicate(worthRetrying),
		transport.WithRetryStatusCodes(http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout))
}

// backoff makes three attempts within two seconds: a registry that stays
// broken for longer is for a person to know.
var backoff = remote.Backoff{Duration: 300 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: 3}

// worthRetrying tells whether a failure may pass by itself. One that took a
// timeout to show does not.
func worthRetrying(err error) bool {
	var timeout net.Error
	var status *transport.Error
	switch {
	case errors.Is(err, ErrUnreachable), errors.As(err, &timeout) && timeout.Timeout():
		return false
	case errors.As(err, &status):
		return status.Temporary()
	}
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET, net.ErrClosed} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}
