package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// body is a download that ends with its context and when it stalls.
type body struct {
	ctx    context.Context // the lifetime of a reader is the call that opened it
	cancel context.CancelCauseFunc
	stall  time.Duration
	timer  *time.Timer
	io.ReadCloser
}

func newBody(ctx context.Context, resp *http.Response, stall time.Duration, cancel context.CancelCauseFunc) *body {
	b := &body{ctx: ctx, cancel: cancel, stall: stall, ReadCloser: resp.Body}
	b.timer = time.AfterFunc(stall, func() { cancel(stalled(stall)) })
	b.timer.Stop() // it runs only while Read waits: a slow reader is no stall
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err // what has arrived already would come without an error
	}
	b.timer.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
