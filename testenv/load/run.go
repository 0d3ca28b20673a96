package load

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Limits that hold whatever a caller asks for.
const (
	MaxCount    = 1_000_000
	MaxDuration = 10 * time.Minute
	MaxRate     = 20_000 // a second
)

// Client is one kind of load.
type Client interface {
	prepare() (pace, error)
	// once does one exchange; number counts from 0. The answer's head tells
	// which server it was.
	once(ctx context.Context, number int) (answer string, err error)
	finish()
}

// pace says how a client's exchanges follow each other.
type pace struct {
	rate     float64       // exchanges due each second
	count    int           // at most; 0: MaxCount
	duration time.Duration // at most; 0: MaxDuration
	parallel int           // exchanges at once; one more waits, and counts as late
}

// Run is load that goes on.
type Run struct {
	client Client
	pace   pace
	tally  tally
	cancel context.CancelFunc
	done   chan struct{}
	began  time.Time
}

// Start starts a client. It runs until Stop, until ctx ends, or until its
// bounds are reached.
func Start(ctx context.Context, c Client) (*Run, error) {
	p, err := c.prepare()
	if err != nil {
		return nil, err
	}
	if p.rate <= 0 || p.rate > MaxRate {
		return nil, errors.New("the rate must be above 0 and at most 20000 a second")
	}
	if p.count <= 0 || p.count > MaxCount {
		p.count = MaxCount
	}
	if p.duration <= 0 || p.duration > MaxDuration {
		p.duration = MaxDuration
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &Run{client: c, pace: p, cancel: cancel, done: make(chan struct{}), began: time.Now()}
	go r.loop(ctx)
	return r, nil
}

// Do runs a client until its bounds are reached.
func Do(ctx context.Context, c Client) (Report, error) {
	r, err := Start(ctx, c)
	if err != nil {
		return Report{}, err
	}
	return r.Wait(), nil
}

// Stop ends the run, after what was sent is answered, and reports.
func (r *Run) Stop() Report {
	r.cancel()
	return r.Wait()
}

// Wait waits until the bounds are reached, and reports.
func (r *Run) Wait() Report {
	<-r.done
	return r.tally.soFar()
}

// SoFar reports while it goes on.
func (r *Run) SoFar() Report { return r.tally.soFar() }

// loop sends each exchange when it is due. What is under way at the end is
// let finish: it has a time limit of its own.
func (r *Run) loop(ctx context.Context) {
	defer close(r.done)
	defer r.client.finish()
	defer r.cancel()
	var flying sync.WaitGroup
	slots := make(chan struct{}, max(r.pace.parallel, 1))
	number := 0
	for ; number < r.pace.count; number++ {
		offset := time.Duration(float64(number) / r.pace.rate * float64(time.Second))
		if offset > r.pace.duration || !sleepUntil(ctx, r.began.Add(offset)) {
			break
		}
		slots <- struct{}{}
		n := number
		flying.Go(func() {
			answer, err := r.client.once(context.WithoutCancel(ctx), n)
			r.tally.add(r.began.Add(offset), answer, err)
			<-slots
		})
	}
	flying.Wait()
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	r.tally.report.Took = time.Since(r.began)
	r.tally.report.Truncated = number == MaxCount
}

// sleepUntil is false if ctx ended before.
func sleepUntil(ctx context.Context, due time.Time) bool {
	pause := time.Until(due)
	if pause <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
