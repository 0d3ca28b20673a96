//go:build linux

package ssh

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay is a wire that can be cut: it then swallows everything without a word.
type relay struct {
	address string
	dead    atomic.Bool
	rate    atomic.Int64 // bytes a second towards the host; 0 is no limit
	gone    chan struct{}

	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: l.Addr().String(), gone: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close(); close(r.gone) })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, near, far)
			r.mu.Unlock()
			go r.carry(near, far, nil)
			go r.carry(far, near, &r.rate)
		}
	}()
	return r
}

func (r *relay) cut() { r.dead.Store(true) }

// drop ends the connections that there are, as a host does that waits no
// longer.
func (r *relay) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
}

func (r *relay) carry(dst, src net.Conn, rate *atomic.Int64) {
	defer dst.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := src.Read(buffer)
		if r.dead.Load() {
			<-r.gone // neither data nor an end gets through
			return
		}
		if n > 0 {
			if rate != nil && rate.Load() > 0 {
				time.Sleep(time.Duration(n) * time.Second / time.Duration(rate.Load()))
			}
			if _, err := dst.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
