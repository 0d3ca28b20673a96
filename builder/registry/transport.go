package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
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
