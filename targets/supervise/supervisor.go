package supervise

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/targets/runtime"
)

// Engine is what supervision needs of the engine; *runtime.Engine is one.
type Engine interface {
	List() []runtime.Container
	Get(idOrName string) (runtime.Container, error)
	Subscribe(ctx context.Context) <-chan runtime.Change
	StartWanted(ctx context.Context, idOrName string) error
	SetHealth(id string, h runtime.Health) error
	End(ctx context.Context, id, reason string) error
	Exec(ctx context.Context, idOrName string, config runtime.ExecConfig, streams runtime.Streams) (int, error)
}

// Supervisor looks after the containers of one host.
type Supervisor struct {
	engine Engine
	log    *slog.Logger
	probe  func(ctx context.Context, c runtime.Container) error // one check; the fault says what was tried

	mu    sync.Mutex
	wards map[string]*ward
}

// ward is what is remembered of one container.
type ward struct {
	backoff backoff
	healthy time.Duration      // how long the last run was healthy, where it was ended for not being so; -1 otherwise
	gaveUp  bool               // the policy does not start it again
	running time.Time          // Started of the run that is watched; zero is none
	end     context.CancelFunc // ends the watch, or the wait for a restart
}

// New returns a Supervisor of the engine's containers. It does nothing until
// Run.
func New(engine Engine, log *slog.Logger) *Supervisor {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Supervisor{engine: engine, log: log, wards: map[string]*ward{}}
	s.probe = prober{engine}.probe
	return s
}

// Run supervises until ctx ends, and then returns nil. Containers that exist
// already are taken up as they are.
func (s *Supervisor) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	changes := s.engine.Subscribe(ctx)
	for _, c := range s.engine.List() {
		s.take(ctx, g, c)
	}
	g.Go(func() error {
		for change := range changes {
			if change.Action == "destroy" {
				s.forget(change.Container.ID)
				continue
			}
			// The change may be old news by now.
			if c, err := s.engine.Get(change.Container.ID); err == nil {
				s.take(ctx, g, c)
			}
		}
		return nil
	})
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// take does what a container's state asks for, once for each run and each end.
func (s *Supervisor) take(ctx context.Context, g *errgroup.Group, c runtime.Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wards[c.ID]
	if w == nil {
		w = &ward{healthy: -1}
		s.wards[c.ID] = w
	}
	switch c.State {
	case runtime.Running:
		if w.running.Equal(c.Started) && w.end != nil {
			return
		}
		w.stop()
		w.running, w.gaveUp = c.Started, false
		w.begin(ctx, g, func(ctx context.Context) { s.watch(ctx, c) })
	case runtime.Exited:
		ended := !w.running.IsZero() || w.end == nil
		if !ended && c.Wanted {
			return // its restart is under way
		}
		w.stop()
		switch {
		case !c.Wanted:
			w.backoff = backoff{}
		case !w.gaveUp:
			s.again(ctx, g, w, c)
		}
	default: // created, or paused
		w.stop()
	}
}

// again has an ended container started after its delay, if its policy says so.
func (s *Supervisor) again(ctx context.Context, g *errgroup.Group, w *ward, c runtime.Container) {
	ran := c.Finished.Sub(c.Started)
	if w.healthy >= 0 {
		ran, w.healthy = w.healthy, -1
	}
	delay, ok := w.backoff.next(c, ran)
	if !ok {
		w.gaveUp = true
		s.log.Info("a container ended and stays so", "container", c.Spec.Name, "exit", c.ExitCode, "policy", c.Spec.Restart.Policy)
		return
	}
	s.log.Info("starting a container again", "container", c.Spec.Name, "exit", c.ExitCode, "oom", c.OOMKilled, "in", delay)
	w.begin(ctx, g, func(waiting context.Context) {
		if pause(waiting, delay) && !s.restart(waiting, c.ID) {
			s.failed(ctx, waiting, g, c.ID)
		}
	})
}

// restart starts a container that is still ended and wanted. It returns false
// where that has failed.
func (s *Supervisor) restart(ctx context.Context, id string) bool {
	c, err := s.engine.Get(id)
	if err != nil {
		return true
	}
	err = s.engine.StartWanted(ctx, id)
	if err != nil && ctx.Err() == nil {
		s.log.Error("starting a container again", "container", c.Spec.Name, "error", err)
		return false
	}
	return true
}

// failed counts a start that failed as another end. It is called by what
// waited for it.
func (s *Supervisor) failed(ctx, waiting context.Context, g *errgroup.Group, id string) {
	c, err := s.engine.Get(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wards[id]
	if err != nil || w == nil || waiting.Err() != nil || !c.Wanted {
		return // it was removed, stopped or started meanwhile
	}
	w.end = nil
	s.again(ctx, g, w, c)
}

// begin starts the one thing that goes on for a container.
func (w *ward) begin(ctx context.Context, g *errgroup.Group, f func(context.Context)) {
	ctx, w.end = context.WithCancel(ctx)
	g.Go(func() error {
		f(ctx)
		return nil
	})
}

func (w *ward) stop() {
	if w.end != nil {
		w.end()
	}
	w.end, w.running = nil, time.Time{}
}

func (s *Supervisor) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.wards[id]; w != nil {
		w.stop()
		delete(s.wards, id)
	}
}

// pause waits, and says whether ctx is still on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
