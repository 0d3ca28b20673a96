package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"time"
)

// retries says how often a host is tried again that ends the connection before
// it has shown its key, as sshd does beyond MaxStartups.
type retries struct {
	most  int           // connections in all
	first time.Duration // mean pause after the first one; it doubles
	cap   time.Duration // longest mean pause
}

var usualRetries = retries{most: 9, first: 150 * time.Millisecond, cap: 3 * time.Second}

// wait pauses after the nth connection. The pause is random by half, so that
// hosts that were turned away together do not come back together.
func (r retries) wait(ctx context.Context, n int) error {
	mean := min(r.first<<(n-1), r.cap)
	timer := time.NewTimer(mean/2 + rand.N(mean)) //nolint:gosec // nothing secret about a pause
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// droppedError is a connection that the host ended before it had shown its
// key, or while a person was asked for a passphrase.
type droppedError struct {
	err   error
	asked bool
}

// Error says where in the handshake it was.
func (e *droppedError) Error() string {
	if e.asked {
		return fmt.Sprintf("the host ended the connection while the passphrase was asked for: %v", e.err)
	}
	return fmt.Sprintf("the host ended the connection before it had shown its key: %v", e.err)
}

// Unwrap returns the error below.
func (e *droppedError) Unwrap() error { return e.err }

// isCut tells whether err is the end of a connection that the other side made.
func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}
