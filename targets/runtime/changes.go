package runtime

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A subscription holds the changes that one watcher has not taken yet. It
// has no bound: a change that is missed would be worse than memory that is
// held while a watcher is slow.
type subscription struct {
	mu    sync.Mutex
	queue []Change
	wake  chan struct{}
}

// Subscribe returns every change from now on, until ctx ends, when the
// channel is closed. It works while Run does.
func (e *Engine) Subscribe(ctx context.Context) <-chan Change {
	s := &subscription{wake: make(chan struct{}, 1)}
	e.mu.Lock()
	e.subscriber[s] = struct{}{}
	e.mu.Unlock()
	out := make(chan Change)
	e.group.spawn(func(run context.Context) {
		defer close(out)
		defer func() {
			e.mu.Lock()
			delete(e.subscriber, s)
			e.mu.Unlock()
		}()
		for {
			next, ok := s.take()
			if !ok {
				select {
				case <-s.wake:
				case <-ctx.Done():
					return
				case <-run.Done():
					return
				}
				continue
			}
			select {
			case out <- next:
			case <-ctx.Done():
				return
			case <-run.Done():
				return
			}
		}
	})
	return out
}

func (s *subscription) take() (Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return Change{}, false
	}
	next := s.queue[0]
	s.queue = s.queue[1:]
	return next, true
}

func (s *subscription) put(c Change) {
	s.mu.Lock()
	s.queue = append(s.queue, c)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// tell reports what happened to a container.
func (e *Engine) tell(value Container, actions ...string) {
	now := time.Now()
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, action := range actions {
		for s := range e.subscriber {
			s.put(Change{Time: now, Container: value, Action: action})
		}
	}
}

// Conditions of Wait, as the Docker Engine API names them.
const (
	WaitNotRunning = "not-running"
	WaitNextExit   = "next-exit"
	WaitRemoved    = "removed"
)

// Wait waits until a container is as the condition says ("" is
// WaitNotRunning) and returns it as it was then. ready, if it is not nil, is
// called once the wait has begun, so that a change after it can't be missed.
func (e *Engine) Wait(ctx context.Context, idOrName, condition string, ready func()) (Container, error) {
	c, err := e.find(idOrName)
	if err != nil {
		return Container{}, err
	}
	value, before, removed, changed := c.watch()
	exits := before
	if ready != nil {
		ready()
	}
	for {
		switch {
		case condition == WaitRemoved && removed,
			condition == WaitNextExit && (exits > before || removed),
			(condition == WaitNotRunning || condition == "") && !value.running():
			return value, nil
		}
		switch condition {
		case "", WaitNotRunning, WaitNextExit, WaitRemoved:
		default:
			return value, errors.New("an unknown condition: " + condition)
		}
		select {
		case <-ctx.Done():
			return value, context.Cause(ctx)
		case <-changed:
		}
		value, exits, removed, changed = c.watch()
	}
}

// running says whether the container's program runs, be it paused.
func (c Container) running() bool { return c.State == Running || c.State == Paused }

// live says whether the container has a process.
func (c Container) live() bool { return c.State == Created || c.running() }

// SetHealth notes what the checks of a container found.
func (e *Engine) SetHealth(id string, h Health) error {
	c, err := e.find(id)
	if err != nil {
		return err
	}
	before := c.snapshot().Health.Status
	value := c.set(func(v *Container) { v.Health = h })
	if h.Status != before {
		e.tell(value, "health_status: "+h.Status)
	}
	return nil
}
