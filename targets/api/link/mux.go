package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// window is the most bytes of one stream that are on their way unread. With
// it one stream fills a link of 100 MB/s at 80 ms.
const window = 8 << 20

// Client returns the client's end of a mux over stdio.
func Client(stdio io.ReadWriteCloser) (*Mux, error) {
	return newMux(stdio, yamux.Client)
}

// Server returns drayd connect's end of a mux over stdio.
func Server(stdio io.ReadWriteCloser) (*Mux, error) {
	return newMux(stdio, yamux.Server)
}

// Mux is a yamux session that counts what it receives.
type Mux struct {
	*yamux.Session
	wire *wire
}

func newMux(stdio io.ReadWriteCloser, start func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)) (*Mux, error) {
	w := &wire{ReadWriteCloser: stdio}
	session, err := start(w, config())
	if err != nil {
		return nil, fmt.Errorf("starting the multiplexer: %w", err)
	}
	return &Mux{Session: session, wire: w}, nil
}

// config turns yamux's own clocks off: they take a slow link for a dead one.
// Who uses a Mux watches Received instead.
func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.EnableKeepAlive = false
	c.ConnectionWriteTimeout = 10 * time.Minute
	c.StreamOpenTimeout = 0
	c.StreamCloseTimeout = 30 * time.Second // of a stream that was cut off here and that the peer still holds
	c.MaxStreamWindowSize = window
	c.LogOutput = io.Discard // its errors come back from the calls
	return c
}

// Received returns the number of bytes that came in so far.
func (m *Mux) Received() int64 { return m.wire.received.Load() }

// Sent returns the number of bytes that went out so far.
func (m *Mux) Sent() int64 { return m.wire.sent.Load() }

// ErrSilent means that the peer gave no sign of life for too long.
var ErrSilent = errors.New("the other end does not answer any more")

// Watch asks the peer for a sign of life whenever it was silent for every,
// and closes the mux once it was silent for longest. It returns when the mux
// is closed: ErrSilent if that was the reason, otherwise nil. On a busy slow
// link an answer may queue for long, so any byte is a sign of life.
func (m *Mux) Watch(every, longest time.Duration) error {
	asked := make(chan struct{}, 1)
	var asking sync.WaitGroup
	asking.Go(func() {
		for range asked {
			_, _ = m.Ping() // the answer shows in Received
		}
	})
	defer asking.Wait()
	defer close(asked)
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen, since := m.Received(), time.Now()
	for {
		select {
		case <-m.CloseChan():
			return nil
		case now := <-tick.C:
			if n := m.Received(); n != seen {
				seen, since = n, now
				continue
			}
			if now.Sub(since) >= longest {
				_ = m.Close() // it never fails
				return ErrSilent
			}
			select {
			case asked <- struct{}{}:
			default: // one question is on its way already
			}
		}
	}
}

// wire counts bytes, and joins the header of a data frame with its body:
// yamux writes the two apart, which would be two SSH packets.
type wire struct {
	io.ReadWriteCloser
	received, sent atomic.Int64
	joined         []byte
	body           int // bytes of body that the header in joined announced
}

const (
	muxHeader  = 12
	typeData   = 0
	joinAtMost = 256 << 10 // a longer body is written by itself
)

// Read counts.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.ReadWriteCloser.Read(p)
	w.received.Add(int64(n))
	return n, err
}

// Write is called by one goroutine of yamux only: a header, then its body.
func (w *wire) Write(p []byte) (int, error) {
	if w.body == 0 && len(p) == muxHeader && p[1] == typeData {
		if n := binary.BigEndian.Uint32(p[8:]); n > 0 && n <= joinAtMost {
			w.joined, w.body = append(w.joined[:0], p...), int(n)
			return len(p), nil
		}
	}
	out := p
	if w.body > 0 {
		w.joined = append(w.joined, p...)
		out, w.body = w.joined, 0
	}
	n, err := w.ReadWriteCloser.Write(out)
	w.sent.Add(int64(n))
	if err != nil {
		return 0, err
	}
	return len(p), nil
}
