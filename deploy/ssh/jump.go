package ssh

import (
	"context"
	"sync"
)

// jumpPool holds the connections to jump hosts: all hosts behind the same one
// share its connection, which ends with its last user.
type jumpPool struct {
	mu    sync.Mutex
	jumps map[string]*jump // by the logins on the way
}

// jump is a connection to a jump host, or one on its way.
type jump struct {
	ready     chan struct{}
	conn      *Conn // set before ready is closed, like err and abandoned
	err       error
	abandoned bool // the dial was cancelled, so err says nothing of the jump host
	users     int  // guarded by jumpPool.mu
}

// lost tells whether the connection was made and has ended.
func (j *jump) lost() bool {
	select {
	case <-j.ready:
		return j.conn != nil && isDone(j.conn.Done())
	default:
		return false
	}
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// acquire returns the shared connection of that key, made by dial when there
// is none. The caller calls release once it is done with it.
func (p *jumpPool) acquire(ctx context.Context, key string, dial func() (*Conn, error)) (conn *Conn, release func(), err error) {
	for {
		j, first := p.join(key)
		if first {
			j.conn, j.err = dial()
			j.abandoned = j.err != nil && ctx.Err() != nil
			if j.err != nil {
				p.forget(key, j)
			}
			close(j.ready)
		}
		select {
		case <-j.ready:
		case <-ctx.Done():
			p.leave(key, j)
			return nil, nil, context.Cause(ctx)
		}
		switch {
		case j.err == nil:
			return j.conn, sync.OnceFunc(func() { p.leave(key, j) }), nil
		case first || !j.abandoned:
			return nil, nil, j.err
		}
	}
}

// join returns the jump of a key; first tells whether the caller is to make
// its connection.
func (p *jumpPool) join(key string) (j *jump, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jumps == nil {
		p.jumps = map[string]*jump{}
	}
	j = p.jumps[key]
	if j == nil || j.lost() {
		j, first = &jump{ready: make(chan struct{})}, true
		p.jumps[key] = j
	}
	j.users++
	return j, first
}

func (p *jumpPool) forget(key string, j *jump) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jumps[key] == j {
		delete(p.jumps, key)
	}
}

// leave closes the connection after its last user.
func (p *jumpPool) leave(key string, j *jump) {
	p.mu.Lock()
	j.users--
	last := j.users == 0
	if last && p.jumps[key] == j {
		delete(p.jumps, key)
	}
	p.mu.Unlock()
	if last && j.conn != nil {
		_ = j.conn.Close() // nobody is left to tell
	}
}
