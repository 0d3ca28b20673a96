package registry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	// attempts at a request that fails take less than two seconds: a registry
	// that stays broken for longer is for a person to know.
	attempts = 3
	// maxPause is the longest Retry-After that is waited for; a longer one
	// means "come back another time".
	maxPause = time.Minute
	// maxWait is how long a registry may keep one request waiting in all.
	maxWait = 5 * time.Minute
)

// backoff is the pause between attempts where the registry names none.
var backoff = remote.Backoff{Duration: 300 * time.Millisecond, Factor: 3, Jitter: 0.1, Steps: attempts}

// retrying asks again where a registry is busy or a connection broke. A pause
// that the registry names (RFC 9110, Retry-After) is kept, however often it
// names one, within maxWait; told hears of each.
func retrying(rt http.RoundTripper, told func(pause time.Duration)) http.RoundTripper {
	return &retrier{inner: rt, told: told}
}

type retrier struct {
	inner http.RoundTripper
	told  func(pause time.Duration)
}

// RoundTrip implements http.RoundTripper.
func (r *retrier) RoundTrip(in *http.Request) (*http.Response, error) {
	next := backoff
	var waited time.Duration
	for {
		resp, err := r.inner.RoundTrip(in)
		pause, named := namedPause(resp)
		switch {
		case named && pause <= maxPause && waited+pause <= maxWait:
			waited += pause
			r.told(pause)
		case !named && next.Steps > 1 && mayRepeat(in, resp, err):
			pause = next.Step()
		default:
			return resp, err
		}
		again, ok := repeat(in)
		if !ok {
			return resp, err
		}
		if resp != nil {
			drain(resp)
		}
		if err := sleep(in.Context(), pause); err != nil {
			return nil, err
		}
		in = again
	}
}

// namedPause reads Retry-After of an answer that says "not now".
func namedPause(resp *http.Response) (time.Duration, bool) {
	if resp == nil || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}

// mayRepeat tells whether a request may be sent again: always where the
// registry has refused to begin, otherwise only one that changes nothing.
func mayRepeat(in *http.Request, resp *http.Response, err error) bool {
	reads := in.Method == http.MethodGet || in.Method == http.MethodHead
	if err != nil {
		return reads && worthRetrying(err)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return reads
	}
	return false
}

// repeat gives a request once more, if its body can be read once more.
func repeat(in *http.Request) (*http.Request, bool) {
	if in.Body == nil || in.Body == http.NoBody {
		return in, true
	}
	if in.GetBody == nil {
		return nil, false
	}
	body, err := in.GetBody()
	if err != nil {
		return nil, false
	}
	again := in.Clone(in.Context())
	again.Body = body
	return again, true
}

// drain ends an answer that nobody reads, and keeps its connection.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // a connection that breaks now is not used again
	resp.Body.Close()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

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
