package agent

import (
	"context"
	"sync"
)

// queue holds jobs that nobody waits for. Adding one never blocks.
type queue struct {
	mu   sync.Mutex
	jobs []func(context.Context)
	more chan struct{} // holds a token when jobs is not empty
	once map[*environment]bool
}

func newQueue() *queue {
	return &queue{more: make(chan struct{}, 1), once: map[*environment]bool{}}
}

// later has Run run a job soon.
func (a *Agent) later(job func(context.Context)) { a.queue.add(job) }

func (q *queue) add(job func(context.Context)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, job)
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *queue) run(ctx context.Context, start func(context.Context, func(context.Context)) bool) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.more:
		}
		q.mu.Lock()
		jobs := q.jobs
		q.jobs = nil
		q.mu.Unlock()
		for _, job := range jobs {
			start(ctx, job)
		}
	}
}

// changed has the rotation of an environment looked at again. Changes that
// come before that are looked at together.
func (a *Agent) changed(e *environment) {
	q := a.queue
	q.mu.Lock()
	waiting := q.once[e]
	q.once[e] = true
	q.mu.Unlock()
	if waiting {
		return
	}
	q.add(func(ctx context.Context) {
		q.mu.Lock()
		delete(q.once, e)
		q.mu.Unlock()
		if err := a.route(ctx, e); err != nil {
			a.log.Error("adjusting the rotation", "environment", e.key(), "error", err)
		}
	})
}
