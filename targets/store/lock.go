package store

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"
)

// keyedLock is a lock for each digest.
type keyedLock struct {
	mu   sync.Mutex
	held map[digest.Digest]chan struct{} // closed when given back
}

// lock waits for the key. It calls waiting once, if it has to wait.
func (k *keyedLock) lock(ctx context.Context, key digest.Digest, waiting func()) (unlock func(), err error) {
	for {
		k.mu.Lock()
		taken, busy := k.held[key]
		if !busy {
			if k.held == nil {
				k.held = map[digest.Digest]chan struct{}{}
			}
			mine := make(chan struct{})
			k.held[key] = mine
			k.mu.Unlock()
			return func() { k.unlock(key, mine) }, nil
		}
		k.mu.Unlock()
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-taken:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (k *keyedLock) unlock(key digest.Digest, mine chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, key)
	close(mine)
}

// pins are digests (of content and of chains) that a pull or a mount needs
// now. The garbage collector holds the lock while it works, so a pin is either
// seen by it or made after it.
type pins struct {
	mu    sync.Mutex
	count map[string]int
}

// lease is a set of pins that is given back at once.
type lease struct {
	pins *pins
	keys []string
}

func (p *pins) lease() *lease { return &lease{pins: p} }

func (l *lease) add(keys ...string) {
	l.pins.mu.Lock()
	defer l.pins.mu.Unlock()
	if l.pins.count == nil {
		l.pins.count = map[string]int{}
	}
	for _, k := range keys {
		l.pins.count[k]++
		l.keys = append(l.keys, k)
	}
}

func (l *lease) release() {
	l.pins.mu.Lock()
	defer l.pins.mu.Unlock()
	for _, k := range l.keys {
		if l.pins.count[k]--; l.pins.count[k] == 0 {
			delete(l.pins.count, k)
		}
	}
	l.keys = nil
}
