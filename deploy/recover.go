package deploy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// recoverInDoubt ends what an earlier deployment left in doubt, under the new lease,
// and returns what the hosts run then. Where one host confirmed, or all have
// voted for it, the decision was made: the others confirm too. Otherwise all
// go back.
func (f *Fleet) recoverInDoubt(ctx context.Context, l *lease) (map[string]*api.Environment, error) {
	seen, err := f.Observe(ctx)
	if err != nil {
		return nil, err
	}
	doubtful := map[string]*api.Deployment{}
	for name, env := range seen {
		if env.Deployment != nil {
			doubtful[name] = env.Deployment
		}
	}
	if len(doubtful) == 0 {
		return seen, nil
	}
	if err := f.finish(ctx, l, seen, doubtful); err != nil {
		return nil, fmt.Errorf("finishing an earlier deployment: %w", err)
	}
	return f.Observe(ctx)
}

func (f *Fleet) finish(ctx context.Context, l *lease, seen map[string]*api.Environment, doubtful map[string]*api.Deployment) error {
	return f.eachOf(ctx, sortedKeys(doubtful), func(ctx context.Context, h *Host) error {
		d := doubtful[h.Name]
		if decided(seen, d) {
			f.sink.Emit(event.Event{Type: event.Notice, Host: h.Name, Release: d.Release, Revision: d.Revision,
				Text: fmt.Sprintf("release %s was agreed on by all hosts%s; confirming it on %s", d.ReleaseNumber(), f.assumed(seen, d), h.Name)})
			_, err := f.on(h).Confirm(ctx, d.ID, api.Confirm{Fence: l.fences[h.Name]})
			return err
		}
		text, reason := fmt.Sprintf("%s of release %s by %s was not finished", d.Kind, d.ReleaseNumber(), d.Actor.Who()), "its deployer went away"
		if d.Held != nil {
			text, reason = fmt.Sprintf("release %s failed and was held", d.ReleaseNumber()), "it failed and was held: "+d.Held.Reason
		}
		f.sink.Emit(event.Event{Type: event.Notice, Host: h.Name, Release: d.Release, Revision: d.Revision, Text: fmt.Sprintf("%s; going back to %s", text, releaseWord(d.FromNumber()))})
		_, err := f.on(h).Revert(ctx, d.ID, api.Revert{Fence: l.fences[h.Name], Reason: reason}, f.hostSink(h.Name))
		return err
	})
}

// assumed says what is taken for granted where hosts are left out: nobody has
// heard whether they agreed.
func (f *Fleet) assumed(seen map[string]*api.Environment, d *api.Deployment) string {
	for _, env := range seen {
		if env.Deployed == d.ID {
			return "" // one has confirmed it: so all had agreed
		}
	}
	if len(f.Skipped) == 0 {
		return ""
	}
	return fmt.Sprintf(" that were asked, and %s, left out, is assumed to have agreed; if it had not, dray recover %s without --skip-host tells", phrase.List(f.Skipped), f.Environment)
}

// decided tells whether some host confirmed that deployment, or all have voted
// for it: a host that can't be asked may have confirmed it then.
func decided(seen map[string]*api.Environment, d *api.Deployment) bool {
	all := true
	for _, env := range seen {
		if env.Deployed == d.ID {
			return true
		}
		all = all && env.Deployment != nil && env.Deployment.ID == d.ID && env.Deployment.Voted
	}
	return all
}

func releaseWord(n pipeline.ReleaseNumber) string {
	if !n.Known() {
		return "nothing"
	}
	return "release " + n.String()
}

// Recovery says what Recover found and did.
type Recovery struct {
	Finished int                    // hosts where something was in doubt
	Release  pipeline.ReleaseNumber // what all hosts run now; of none when they differ
	Behind   []string               // hosts that run another release than the newest confirmed one
	Newest   *pipeline.Release      // that release; nil when nothing was ever confirmed
}

// Recover finishes what is in doubt and says what the hosts run. It waits for
// up to wait for the lease of a deployer that may live. A deployment that is held
// is taken back where abort says yes to its id; otherwise all is refused.
func (f *Fleet) Recover(ctx context.Context, by pipeline.Actor, wait time.Duration, abort func(id string) bool) (*Recovery, error) {
	held, l, err := f.acquire(ctx, by, wait)
	if err != nil {
		return nil, newError(Unchanged, err)
	}
	defer l.release(ctx)
	before, err := f.Observe(held)
	if err != nil {
		return nil, newError(Unchanged, err)
	}
	r := &Recovery{}
	for _, env := range before {
		d := env.Deployment
		if d == nil {
			continue
		}
		if d.Held != nil && !abort(d.ID) {
			return nil, newError(Refused, fmt.Errorf("release %s failed meanwhile and is held: %s", d.ReleaseNumber(), d.Held.Reason))
		}
		r.Finished++
	}
	after, err := f.recoverInDoubt(held, l)
	if err != nil {
		return nil, newError(Unchanged, err)
	}
	since := time.Time{}
	for _, name := range sortedKeys(after) {
		if env := after[name]; env.Current != nil && (r.Newest == nil || env.Since.After(since)) {
			r.Newest, since = env.Current, env.Since
		}
	}
	if r.Newest == nil {
		return r, nil
	}
	for _, name := range sortedKeys(after) {
		if c := after[name].Current; c.ReleaseNumber() != r.Newest.ReleaseNumber() {
			r.Behind = append(r.Behind, name)
		}
	}
	if len(r.Behind) == 0 {
		r.Release = r.Newest.ReleaseNumber()
	}
	return r, nil
}

// DownError is an environment that is gone from some of its hosts. A host does not
// go back from that; taking it down again finishes it.
type DownError struct {
	Environment string
	Gone        []string // hosts that have nothing of it any more
	Stuck       []string // hosts that keep some of it, or all
	Volumes     bool     // their data was to be deleted, too
	Err         error
}

func (e *DownError) Error() string { return "taking " + e.Environment + " down: " + e.Err.Error() }

// Unwrap returns why.
func (e *DownError) Unwrap() error { return e.Err }

// Hint says what is gone, what stays, and what finishes it.
func (e *DownError) Hint() pipeline.Hint {
	h := pipeline.Hint{Class: pipeline.NotReverted, Environment: e.Environment, Next: "dray down " + e.Environment}
	if e.Volumes {
		h.Next += " --volumes"
	}
	h.Next += " again finishes it"
	h.Conclusion = phrase.List(e.Stuck) + " may keep some of " + e.Environment + ": what is removed does not come back."
	if len(e.Gone) > 0 {
		h.Conclusion = e.Environment + " is gone from " + phrase.List(e.Gone) + ". " + h.Conclusion
	}
	return h
}

// Down removes the environment from every host. Where it could not do so on some
// of them, its error is a *DownError.
func (f *Fleet) Down(ctx context.Context, by pipeline.Actor, volumes bool) (map[string]*api.DownResult, error) {
	held, l, err := f.acquire(ctx, by, 0)
	if err != nil {
		return nil, newError(Unchanged, err)
	}
	defer l.release(ctx)
	var mu sync.Mutex
	id, results := newID(), map[string]*api.DownResult{}
	err = f.each(held, func(ctx context.Context, h *Host) error {
		got, err := f.on(h).Down(ctx, api.Down{ID: id, Fence: l.fences[h.Name], Actor: by, Volumes: volumes}, f.hostSink(h.Name))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		results[h.Name] = got
		return nil
	})
	if len(results) == 0 && allForbidden(err) {
		return nil, newError(Unchanged, plainCause(held, err))
	}
	if err != nil {
		return results, &DownError{Environment: f.Environment, Gone: sortedKeys(results), Stuck: FailedHosts(err), Volumes: volumes, Err: plainCause(held, err)}
	}
	return results, nil
}
