// Package apitest connects clients and servers of the API for tests.
package apitest

import (
	"context"
	"net"
	"sync"
)

// Pipes is a listener whose connections are in memory, so that the time of a
// testing/synctest bubble goes on while all wait. The zero value is not usable.
type Pipes struct {
	made   chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Listen makes a listener; closing it refuses further connections.
func Listen() *Pipes { return &Pipes{made: make(chan net.Conn), closed: make(chan struct{})} }

// Dial connects to whoever accepts.
func (p *Pipes) Dial(ctx context.Context) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case p.made <- theirs:
		return mine, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *Pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// Addr implements net.Listener.
func (p *Pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }
