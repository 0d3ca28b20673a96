package supervise

import (
	"context"
	"errors"
	"sync"
	"time"

	"dray/targets/runtime"
)

// fakeEngine is an engine whose containers live in memory, so that their ends
// and the time between can be made to order.
type fakeEngine struct {
	mu       sync.Mutex
	byID     map[string]*runtime.Container
	watchers map[chan runtime.Change]bool
	history  []runtime.Health
	starts   []time.Time
	failing  bool // Start fails
}

func newFakeEngine(c runtime.Container) *fakeEngine {
	c.ID = "c"
	if c.State == "" {
		c.State, c.Wanted, c.Started = runtime.Running, true, time.Now()
	}
	return &fakeEngine{byID: map[string]*runtime.Container{"c": &c}, watchers: map[chan runtime.Change]bool{}}
}

func (e *fakeEngine) List() []runtime.Container {
	c, _ := e.Get("c")
	return []runtime.Container{c}
}

func (e *fakeEngine) Get(id string) (runtime.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.byID[id]; ok {
		return *c, nil
	}
	return runtime.Container{}, runtime.ErrNotFound
}

func (e *fakeEngine) Subscribe(ctx context.Context) <-chan runtime.Change {
	ch := make(chan runtime.Change, 1000)
	e.mu.Lock()
	e.watchers[ch] = true
	e.mu.Unlock()
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.watchers, ch)
		close(ch)
	})
	return ch
}

// change changes the container and tells the watchers.
func (e *fakeEngine) change(action string, f func(*runtime.Container)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.byID["c"]
	f(c)
	if action == "destroy" {
		delete(e.byID, "c")
	}
	for ch := range e.watchers {
		ch <- runtime.Change{Time: time.Now(), Container: *c, Action: action}
	}
}

func (e *fakeEngine) exit(code int) {
	e.change("die", func(c *runtime.Container) {
		c.State, c.ExitCode, c.Finished, c.Health = runtime.Exited, code, time.Now(), runtime.Health{}
	})
}

func (e *fakeEngine) StartWanted(context.Context, string) error {
	e.mu.Lock()
	failing := e.failing
	e.starts = append(e.starts, time.Now())
	e.mu.Unlock()
	if failing {
		e.change("die", func(c *runtime.Container) {
			c.Restarts++
			c.Error, c.Started, c.Finished = "no such file", time.Time{}, time.Now()
		})
		return errors.New("no such file")
	}
	e.change("start", func(c *runtime.Container) {
		c.Restarts++
		c.State, c.Wanted, c.Started = runtime.Running, true, time.Now()
	})
	return nil
}

func (e *fakeEngine) SetHealth(_ string, h runtime.Health) error {
	e.change("health_status: "+h.Status, func(c *runtime.Container) { c.Health = h })
	e.mu.Lock()
	defer e.mu.Unlock()
	e.history = append(e.history, h)
	return nil
}

func (e *fakeEngine) End(_ context.Context, _, reason string) error {
	e.change("die", func(c *runtime.Container) {
		c.State, c.Error, c.Finished, c.Health = runtime.Exited, reason, time.Now(), runtime.Health{}
	})
	return nil
}

func (e *fakeEngine) Exec(context.Context, string, runtime.ExecConfig, runtime.Streams) (int, error) {
	return 0, errors.New("not here")
}
