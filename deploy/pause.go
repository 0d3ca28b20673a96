package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

// PauseState is how far a release came that failed and stays, because its
// services say auto_revert = false.
type PauseState struct {
	Hosts  []string     // that were told to hold it
	At     pipeline.Pos // where the file says so, if that is known
	Serves []Serving    // sorted by service and release
}

// Serving counts the instances of a service that serve from one release.
type Serving struct {
	Service string
	Release pipeline.ReleaseNumber // of none: none serves
	Count   int
}

// fail ends a rollout that has failed since it began to change what serves.
// Where all the services that are to blame say auto_revert = false it is held
// as it is; otherwise every host goes back. One that was interrupted, or whose
// hosts can't be reached, always goes back: that was nobody's release that
// failed.
func (d *deployment) fail(ctx context.Context, cause error, toBlame []string) error {
	d.stopRetiring()
	if ctx.Err() != nil || !d.pauses(toBlame) {
		return d.revert(ctx, cause)
	}
	return d.pause(ctx, cause, toBlame)
}

func (d *deployment) pauses(toBlame []string) bool {
	return len(toBlame) > 0 && !slices.ContainsFunc(toBlame, func(name string) bool {
		s := d.service(name)
		return s == nil || s.Update.AutoRevert
	})
}

func (d *deployment) service(name string) *pipeline.Service {
	for i := range d.Release.Services {
		if d.Release.Services[i].Name == name {
			return &d.Release.Services[i]
		}
	}
	return nil
}

// toBlame lists the services that answer for a failure of the rollout, or of a
// task after it: those whose instances are not healthy, or all that it changes
// where it came to a stand or the task failed. A host that was cut off, or that
// can't do its part, is no service's fault.
func (d *deployment) toBlame(err error, changes []change) []string {
	var stalled *StalledError
	var task *taskError
	if errors.As(err, &stalled) || errors.As(err, &task) {
		return d.changed(changes)
	}
	return unhealthy(err)
}

// unhealthy lists the services whose instances were not healthy; nothing where
// a host failed otherwise, too.
func unhealthy(err error) []string {
	var services []string
	for _, h := range hostErrors(err) {
		var refused *api.Error
		if !errors.As(h, &refused) || refused.Code != api.CodeUnhealthy || refused.Service == "" {
			return nil
		}
		services = append(services, refused.Service)
	}
	slices.Sort(services)
	return slices.Compact(services)
}

// changed lists the services of the release that the deployment changes: they
// answer for what is checked of all of it.
func (d *deployment) changed(changes []change) []string {
	var services []string
	for _, c := range changes {
		if (len(c.Changed) > 0 || len(c.Removed) > 0) && d.service(c.Service) != nil {
			services = append(services, c.Service)
		}
	}
	return services
}

// pause has every host keep the failed release as it is. A host that can't be
// told goes back by itself when its lease ends.
func (d *deployment) pause(ctx context.Context, cause error, toBlame []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryTime)
	defer cancel()
	var mu sync.Mutex
	states := map[string]*api.Environment{}
	err := d.each(ctx, func(ctx context.Context, h *Host) error {
		return d.retry(ctx, h, func(ctx context.Context) error {
			env, err := d.on(h).Hold(ctx, d.id, api.Hold{Fence: d.lease.fences[h.Name], Reason: firstLine(cause)})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				states[h.Name] = env
			}
			return err
		})
	})
	outcome := Paused
	if len(states) == 0 {
		outcome = NotReverted
	}
	e := newError(outcome, cause)
	e.Stuck = FailedHosts(err)
	if err != nil {
		e.Cause = errors.Join(cause, err)
	}
	e.Pause = &PauseState{Hosts: sortedKeys(states), At: d.service(toBlame[0]).Update.RevertAt, Serves: serving(d.Release.Services, states)}
	return e
}

// serving counts what serves on hosts that hold a release.
func serving(services []pipeline.Service, states map[string]*api.Environment) []Serving {
	counts := map[string]map[pipeline.ReleaseNumber]int{}
	for _, s := range services {
		counts[s.Name] = map[pipeline.ReleaseNumber]int{}
	}
	for _, env := range states {
		for _, i := range env.Instances {
			name, _, _ := strings.Cut(i.Instance, "/")
			if counts[name] == nil {
				counts[name] = map[pipeline.ReleaseNumber]int{}
			}
			if i.Serving {
				counts[name][i.ReleaseNumber()]++
			}
		}
	}
	var out []Serving
	for _, name := range sortedKeys(counts) {
		if len(counts[name]) == 0 {
			out = append(out, Serving{Service: name})
		}
		for release, n := range counts[name] {
			out = append(out, Serving{name, release, n})
		}
	}
	slices.SortFunc(out, func(a, b Serving) int {
		if c := strings.Compare(a.Service, b.Service); c != 0 {
			return c
		}
		return a.Release.Compare(b.Release)
	})
	return out
}

// Abort ends a deployment that is held: every host goes back to the release
// before it, base, or to nothing. Where something else runs by the time of the
// lease it is refused: somebody was faster.
func (f *Fleet) Abort(ctx context.Context, by pipeline.Actor, wait time.Duration, base pipeline.ReleaseNumber) (err error) {
	d := &deployment{Fleet: f}
	defer func() { d.annotate(err) }()
	held, l, err := f.acquire(ctx, by, wait)
	if err != nil {
		return newError(Unchanged, err)
	}
	defer l.release(ctx)
	if d.before, err = f.recoverInDoubt(held, l); err != nil {
		e := newError(NotReverted, err)
		if e.Stuck = FailedHosts(err); len(e.Stuck) == 0 {
			e.Outcome = Unchanged
		}
		return e
	}
	if d.from() != base {
		return newError(Refused, fmt.Errorf("%s runs release %s by now: somebody else has ended what was held", f.Environment, d.from()))
	}
	return nil
}
