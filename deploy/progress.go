package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// StalledError is a rollout in which no instance has become healthy for as
// long as update.progress_deadline allows.
type StalledError struct {
	Deadline pipeline.Duration
	At       pipeline.Pos // where the file says so, if it does
	Waited   []Waited     // sorted by host and instance
	Ailment  *api.Error   // what is wrong with the first of them that has been started; nil where no host says
}

// Waited is an instance that a rollout waited for in vain.
type Waited struct {
	Host, Instance string
	State          string // the last that was heard of it in this rollout, as of event.InstanceState; "" for nothing
}

// mostWaited is how many instances a message names.
const mostWaited = 8

func (e *StalledError) Error() string {
	where := "progress_deadline"
	if at := e.At.String(); at != "" {
		where += ", " + at
	}
	var names []string
	for _, w := range e.Waited[:min(mostWaited, len(e.Waited))] {
		names = append(names, w.String())
	}
	if more := len(e.Waited) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("no further instance became healthy within %s (%s): waited for %s", e.Deadline, where, strings.Join(names, ", "))
}

// Unwrap returns what is wrong with the instance that was waited for.
func (e *StalledError) Unwrap() error {
	if e.Ailment == nil {
		return nil
	}
	return e.Ailment
}

// Started says that the new container was seen to start.
func (w Waited) Started() bool {
	return w.State != "" && w.State != event.Staged && w.State != event.Stopped
}

func (w Waited) String() string {
	state := w.State
	if !w.Started() {
		state = "not started"
	}
	return fmt.Sprintf("%s on %s (%s)", w.Instance, w.Host, state)
}

// progress is the clock of a rollout. It begins with the commit, and anew with
// each instance that becomes healthy; it stands still while a person is asked.
// All that keeps an instance from being healthy counts: that the old one takes
// long to stop, a slow host, restarts. Old containers that drain keep nobody
// waiting, and don't count.
//
// The services of a batch go on side by side, so the longest of their deadlines
// holds for it: no service gets less time than its own says.
type progress struct {
	stop context.CancelCauseFunc

	mu        sync.Mutex
	timer     *time.Timer // nil: nothing bounds the rollout now
	since     time.Time
	suspended time.Time       // since when it stands still; zero: it goes
	limit     pipeline.Update // whose deadline holds
	waiting   []Waited        // instances of the batch whose hosts are at them
	stalled   *StalledError
}

// newProgress starts the clock. At its end the context that it returns does,
// too.
func newProgress(ctx context.Context) (context.Context, *progress) {
	p := &progress{since: time.Now()}
	ctx, p.stop = context.WithCancelCause(ctx)
	return ctx, p
}

// end stops the clock for good.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting, p.limit = nil, pipeline.Update{}
	p.arm()
	p.stop(nil)
}

// begin says what is waited for from now on. update gives the update block of
// a service; one that the release does not have is not bounded.
func (p *progress) begin(steps map[string][]api.Step, update func(service string) pipeline.Update) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting, p.limit = nil, pipeline.Update{}
	for host, list := range steps {
		for _, step := range list {
			for _, instance := range step.Instances {
				if w := (Waited{Host: host, Instance: instance}); !slices.Contains(p.waiting, w) {
					p.waiting = append(p.waiting, w)
				}
				service, _, _ := strings.Cut(instance, "/")
				if u := update(service); u.ProgressDeadline > p.limit.ProgressDeadline {
					p.limit = u
				}
			}
		}
	}
	slices.SortFunc(p.waiting, func(a, b Waited) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), instanceIndex(a.Instance)-instanceIndex(b.Instance), strings.Compare(a.Instance, b.Instance))
	})
	p.arm()
}

// done says that a host has taken its steps of the batch.
func (p *progress) done(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w Waited) bool { return w.Host == host })
}

// watch returns a sink that sees how the instances of a host get on.
func (p *progress) watch(host string, next event.Sink) event.Sink {
	return event.Func(func(e event.Event) {
		if e.Type == event.InstanceState {
			p.saw(host, e)
		}
		next.Emit(e)
	})
}

func (p *progress) saw(host string, e event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.waiting {
		if w := &p.waiting[i]; w.Host == host && w.Instance == e.Instance {
			w.State = e.State
		}
	}
	if e.State == event.Healthy {
		p.since = time.Now()
		p.arm()
	}
}

// suspend stops the clock until resume is called.
func (p *progress) suspend() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.suspended = time.Now()
	p.arm()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.since, p.suspended = p.since.Add(time.Since(p.suspended)), time.Time{}
		p.arm()
	}
}

// arm sets the timer to what is left.
func (p *progress) arm() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if limit := p.limit.ProgressDeadline.D(); limit > 0 && p.suspended.IsZero() {
		p.timer = time.AfterFunc(time.Until(p.since.Add(limit)), p.over)
	}
}

// over ends the rollout, unless it got on while the timer rang.
func (p *progress) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil || len(p.waiting) == 0 || time.Since(p.since) < p.limit.ProgressDeadline.D() {
		return
	}
	late := slices.DeleteFunc(slices.Clone(p.waiting), func(w Waited) bool { return w.State == event.Healthy || w.State == event.Switched })
	if len(late) == 0 {
		late = slices.Clone(p.waiting) // all are healthy, and their hosts do not come to an end with them
	}
	p.stalled = &StalledError{Deadline: p.limit.ProgressDeadline, At: p.limit.ProgressAt, Waited: late}
	p.stop(p.stalled)
}

// verdict is why a batch failed: that it came to a stand, and what hosts had
// refused before that, rather than which calls were cut off then.
func (p *progress) verdict(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		return err
	}
	failed := []error{p.stalled}
	for _, h := range hostErrors(err) {
		var refused *api.Error
		if errors.As(h, &refused) {
			failed = append(failed, h)
		}
	}
	return errors.Join(failed...)
}

// diagnosisTime is how long a host may take to say what is wrong with an instance.
const diagnosisTime = 5 * time.Second

// diagnose has a host say what is wrong with an instance that the rollout waited for
// in vain, as long as its container is still there.
func (d *deployment) diagnose(ctx context.Context, err error) error {
	var stalled *StalledError
	if !errors.As(err, &stalled) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosisTime)
	defer cancel()
	for _, w := range stalled.Waited {
		if !w.Started() {
			continue
		}
		if found, err := d.on(d.Host(w.Host)).Ailment(ctx, d.id, w.Instance); err == nil {
			stalled.Ailment = found
			break
		} // a host that can't say leaves it at what is known
	}
	return err
}
