package buildkit

import (
	"net"
	"sync"
	"time"
)

// idleListener counts the connections that it has accepted and that are still
// open, and closes itself when there has been none for a while. Between
// "nobody is connected" and "closed" no connection can slip in: both are
// decided under one lock, and a connection accepted after it is refused, so
// that its client looks again and starts the next server.
type idleListener struct {
	net.Listener
	after time.Duration

	mu     sync.Mutex
	open   int
	since  time.Time // of the last close, while open is 0
	timer  *time.Timer
	closed chan struct{} // closed with the listener
}

func newIdleListener(l net.Listener, after time.Duration) *idleListener {
	i := &idleListener{Listener: l, after: after, since: time.Now(), closed: make(chan struct{})}
	i.timer = time.AfterFunc(after, func() { i.closeIfIdle() })
	return i
}

// Accept returns the next connection, counted until it is closed.
func (l *idleListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		refused := l.isClosed()
		if !refused {
			l.open++
			l.timer.Stop()
		}
		l.mu.Unlock()
		if !refused {
			return &countedConn{Conn: c, done: sync.OnceFunc(l.release)}, nil
		}
		c.Close()
	}
}

func (l *idleListener) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.open == 0 {
		l.since = time.Now()
		l.timer.Reset(l.after)
	}
}

// closeIfIdle closes the listener unless somebody is connected, and says
// whether it is closed now.
func (l *idleListener) closeIfIdle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open > 0 {
		return false
	}
	l.close()
	return true
}

// Close stops accepting; open connections stay.
func (l *idleListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *idleListener) close() error {
	if l.isClosed() {
		return nil
	}
	close(l.closed)
	l.timer.Stop()
	return l.Listener.Close()
}

func (l *idleListener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// state returns the number of open connections and, when that is 0, since
// when.
func (l *idleListener) state() (open int, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open > 0 {
		return l.open, time.Time{}
	}
	return 0, l.since
}

type countedConn struct {
	net.Conn
	done func()
}

func (c *countedConn) Close() error {
	c.done()
	return c.Conn.Close()
}
