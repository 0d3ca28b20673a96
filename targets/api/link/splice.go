package link

import (
	"errors"
	"io"
	"net"
	"sync"
)

// HalfCloser is a connection that can end its writing half alone: a Stream, a
// net.UnixConn, a net.TCPConn.
type HalfCloser interface {
	net.Conn
	CloseWrite() error
}

// Splice copies in both directions until both have ended, passing on each end
// by itself, and closes both. A fault in one direction cuts the other.
func Splice(a, b HalfCloser) error {
	var once sync.Once
	closeBoth := func() { once.Do(func() { _ = a.Close(); _ = b.Close() }) } // the fault that led here is what counts
	defer closeBoth()
	back := make(chan error, 1)
	go func() { back <- half(a, b, closeBoth) }()
	return errors.Join(half(b, a, closeBoth), <-back)
}

func half(dst, src HalfCloser, abort func()) error {
	if _, err := io.Copy(dst, src); err != nil {
		abort()
		return err
	}
	if err := dst.CloseWrite(); err != nil {
		abort()
		return err
	}
	return nil
}
