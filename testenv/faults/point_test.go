package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"dray/testenv"
)

// point is a moment of a deployment at which everything on one host, or the
// client, waits.
type point struct {
	name string
	// line arms the failpoint of the host's agent (see cmd/drayd).
	line string
	// verify waits in the client's verify command instead.
	verify bool
	// others says what the other hosts must have come to before the fault.
	others func(f *field, ctx context.Context, env, host string) error
	// new says that containers of the new release run at that point.
	new bool
	// pulls says that the images may be on their way.
	pulls bool
}

// points are the steps of a deployment on a host, in their order. Each
// instance is a batch of its own there: two batches.
var points = []point{
	{name: "lease taken", line: "after lease.acquire 1"},
	{name: "preparing", line: "after prepare.begin 1", pulls: true},
	{name: "made", line: "before prepare.done 1"},
	{name: "prepared", line: "after prepare.done 1"},
	{name: "committing", line: "after commit 1"},
	{name: "batch 1 started", line: "before step.0.start 1", new: true},
	{name: "batch 1 switching", line: "after switch 1", new: true},
	{name: "batch 1 switched", line: "before step.0.switch 1", new: true},
	{name: "batch 2 started", line: "before step.1.start 1", new: true},
	{name: "batch 2 switching", line: "after switch 2", new: true},
	{name: "committed", line: "after committed 1", new: true},
	{name: "verify", verify: true, new: true},
	{name: "confirming", line: "before confirm 1", new: true},
	{name: "between confirms", line: "before confirm 1", new: true, others: othersConfirmed},
	{name: "confirmed", line: "after confirm 1", new: true},
	{name: "releasing", line: "before lease.release 1", new: true},
}

// waiting is an armed point.
type waiting struct {
	field   *field
	point   point
	host    *testenv.Host
	reached string // file that is there while it waits
}

// arm prepares a point on a host.
func (f *field) arm(p point, h *testenv.Host) (*waiting, error) {
	w := &waiting{field: f, point: p, host: h, reached: inside(h, "run/dray/failpoint.reached")}
	if p.verify {
		w.reached = f.Project + "/held"
		return w, os.WriteFile(f.Project+"/hold", nil, 0o644)
	}
	path := inside(h, "run/dray/failpoint")
	if err := os.WriteFile(path+".new", []byte(p.line+" wait\n"), 0o600); err != nil {
		return nil, err
	}
	return w, os.Rename(path+".new", path)
}

var errNotReached = errors.New("the command ended before the point was reached (only a drayd of make build has points to wait at)")

// await waits until the point is reached; ended is closed when the client has
// ended.
func (w *waiting) await(ctx context.Context, ended <-chan struct{}, env string) error {
	err := eventually(ctx, patience, "the point "+w.point.name+" is reached", func() error {
		_, err := os.Stat(w.reached)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.Join(errStop, errNotReached)
		default:
			return err
		}
	})
	if err != nil || w.point.others == nil {
		return err
	}
	return w.point.others(w.field, ctx, env, w.host.Name)
}

// release takes the point away; what waits there goes on. A host that went
// down meanwhile has forgotten it.
func (w *waiting) release() error {
	files := []string{w.reached}
	if w.point.verify {
		files = []string{w.field.Project + "/hold", w.reached}
	} else if w.host.Running() {
		files = []string{inside(w.host, "run/dray/failpoint"), inside(w.host, "run/dray/failpoint.reached")}
	}
	var errs []error
	for _, file := range files {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such process") {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// othersConfirmed waits until all other hosts have confirmed.
func othersConfirmed(f *field, ctx context.Context, env, host string) error {
	for _, other := range hostsOf[env] {
		if other == host {
			continue
		}
		err := eventually(ctx, patience, other+" has confirmed", func() error {
			e, err := f.environment(ctx, other, env)
			if err == nil && e.Deployment != nil {
				err = fmt.Errorf("its deployment is %s", e.Deployment.State)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// errStop ends eventually early.
var errStop = errors.New("no use waiting")

// eventually waits until ok gives nil, and otherwise returns what it last gave.
func eventually(ctx context.Context, limit time.Duration, what string, ok func() error) error {
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		err := ok()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errStop), ctx.Err() != nil:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("it is not so within %s that %s: %w", limit, what, err)
		}
		time.Sleep(pause)
	}
}

func pointNamed(name string) point {
	for _, p := range points {
		if p.name == name {
			return p
		}
	}
	panic("no point " + name)
}
