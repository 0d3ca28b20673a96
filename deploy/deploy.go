package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dray/deploy/strategy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// Request asks for one deployment.
type Request struct {
	pipeline.Deployment
	Place    Placer // nil: the release has its places
	Sources  func(h *Host, image pipeline.ReleaseImage) []pipeline.ImageSource
	LockWait time.Duration // how long to wait for somebody else's lease
}

// deployment is one under way.
type deployment struct {
	*Fleet
	Request
	id       string
	lease    *lease
	before   map[string]*api.Environment
	prepared map[string]*api.PrepareResult
	mu       sync.Mutex
	retiring sync.WaitGroup // old containers that drain beside the rollout
	// confirming: hosts may have confirmed the release, and take no step any more.
	confirming atomic.Bool
	// stopRetiring no longer waits for them; the agents finish it.
	stopRetiring func()
}

// Deploy brings the release onto all hosts, or leaves all as they were. Its
// error is an *Error.
func (f *Fleet) Deploy(ctx context.Context, r Request) (_ *pipeline.Deployed, err error) {
	d := &deployment{Fleet: f, Request: r, id: newID(), prepared: map[string]*api.PrepareResult{}}
	defer func() { d.annotate(err) }()
	held, l, err := f.acquire(ctx, r.Release.By, r.LockWait)
	if err != nil {
		return nil, newError(Unchanged, err)
	}
	defer l.release(ctx)
	d.lease = l
	if d.before, err = f.recoverInDoubt(held, l); err != nil {
		return nil, newError(Unchanged, err)
	}
	if err := d.stale(); err != nil {
		return nil, newError(Refused, err)
	}
	if d.Release, err = f.resolve(held, d.before, d.Release, d.Place); err != nil {
		return nil, newError(unplaced(err), err)
	}
	if err := d.unexpected(); err != nil {
		return nil, newError(Refused, err)
	}
	if from, same := d.unchanged(); same {
		d.Release.Number, d.Release.Revision = from.Number, from.Revision
		return &pipeline.Deployed{Release: d.Release, From: from, Unchanged: true}, nil
	}
	if err := d.unapproved(); err != nil {
		return nil, newError(Refused, err)
	}
	return d.run(held)
}

// unplaced is the outcome of a release that could not be placed, or not be named.
func unplaced(err error) Outcome {
	var refused *PlacementError
	if errors.As(err, &refused) {
		return Refused
	}
	return Unchanged
}

// unexpected asks who planned this whether it is what was planned.
func (d *deployment) unexpected() error {
	if d.Expect == nil {
		return nil
	}
	hosts := make([]pipeline.Observed, 0, len(d.before))
	for _, name := range sortedKeys(d.before) {
		hosts = append(hosts, Observed(name, d.before[name]))
	}
	return d.Expect(d.Release, hosts)
}

// unapproved says that the approval which came along is for another release:
// somebody was quicker, and this one has got another name since it was asked
// for.
func (d *deployment) unapproved() error {
	if d.Approval == nil || d.Approval.ReleaseNumber() == d.Release.ReleaseNumber() {
		return nil
	}
	return fmt.Errorf("%s approved release %s for %s; by now this is release %s, because another one came under that name; dray promote %[3]s asks for another approval",
		d.Approval.By.Who(), d.Approval.ReleaseNumber(), d.Environment, d.Release.ReleaseNumber())
}

// stale refuses a release that was chosen while another one ran: since then
// somebody brought a release, and the choice may be wrong.
func (d *deployment) stale() error {
	if !d.Base.Known() {
		return nil
	}
	var now *pipeline.Release
	for _, name := range sortedKeys(d.before) {
		c := d.before[name].Current
		if c != nil && c.ReleaseNumber() == d.Base {
			return nil
		}
		if now == nil {
			now = c
		}
	}
	if now == nil {
		return nil // there is nothing to be wrong about
	}
	return fmt.Errorf("%s runs release %s, by %s, since this was asked while it ran release %s", d.Environment, now.ReleaseNumber(), now.By.User, d.Base)
}

// annotate says in an error which environment, hosts and releases it is about.
func (d *deployment) annotate(err error) {
	var e *Error
	if errors.As(err, &e) {
		e.Environment, e.Hosts, e.Release, e.From = d.Environment, d.Names(), d.Release.ReleaseNumber(), d.from()
		e.DeclaredAt = d.declaredAt(err)
	}
}

// declaredAt is where the file declares the port or the volume that a failure is
// about.
func (d *deployment) declaredAt(err error) pipeline.Pos {
	var refused *api.Error
	if !errors.As(err, &refused) {
		return pipeline.Pos{}
	}
	var volumes []pipeline.Volume
	if s := d.service(refused.Service); s != nil {
		if port := s.Port(refused.Port); port != nil {
			return port.At
		}
		volumes = s.Volumes
	}
	for _, t := range d.Release.Tasks {
		if t.Name == refused.Task {
			volumes = t.Volumes
		}
	}
	for _, v := range volumes {
		if v.Name == refused.Volume {
			return v.At
		}
	}
	return pipeline.Pos{}
}

// run walks the road from prepare to confirm.
func (d *deployment) run(ctx context.Context) (*pipeline.Deployed, error) {
	beside, stopRetiring := context.WithCancel(ctx)
	d.stopRetiring = stopRetiring
	defer d.retiring.Wait()
	defer stopRetiring()
	if err := d.prepare(ctx); err != nil {
		return nil, d.discard(ctx, Unchanged, err)
	}
	changes := d.changes()
	if err := d.unattended(changes); err != nil {
		return nil, d.discard(ctx, Refused, err)
	}
	if err := d.tasks(ctx, pipeline.HookPreDeploy); err != nil {
		return nil, d.discard(ctx, Unchanged, err)
	}
	if err := d.commit(ctx, beside, changes); err != nil {
		return nil, d.fail(ctx, err, d.toBlame(err, changes))
	}
	if err := d.tasks(ctx, pipeline.HookPostDeploy); err != nil {
		return nil, d.fail(ctx, err, d.toBlame(err, changes))
	}
	verified, err := d.verify(ctx)
	if err != nil {
		return nil, d.fail(ctx, err, d.changed(changes))
	}
	if err := d.confirm(ctx, verified); err != nil {
		return nil, err
	}
	result := &pipeline.Deployed{Release: d.Release, From: d.from(), Received: map[string]int64{}}
	for name, p := range d.prepared {
		result.Received[name] = p.Received
	}
	for _, c := range changes {
		result.Changed += len(c.Changed)
		result.Removed += len(c.Removed)
	}
	return result, nil
}

// unchanged tells whether every host runs this release's content without any
// drift, under one name, and which.
func (d *deployment) unchanged() (n pipeline.ReleaseNumber, same bool) {
	for _, env := range d.before {
		if len(env.Drift) > 0 {
			return n, false
		}
	}
	n, same = d.Release.RunsEverywhere(currents(d.before))
	if d.Kind == pipeline.KindPromote && n.Number != d.Release.Number {
		return n, false
	}
	return n, same
}

func (d *deployment) from() pipeline.ReleaseNumber {
	for _, name := range sortedKeys(d.before) {
		if c := d.before[name].Current; c != nil {
			return c.ReleaseNumber()
		}
	}
	return pipeline.ReleaseNumber{}
}

// prepare makes every host ready. Nothing that serves changes.
func (d *deployment) prepare(ctx context.Context) error {
	images := map[string]pipeline.ReleaseImage{} // by digest
	for _, name := range sortedKeys(d.Release.Images) {
		images[d.Release.Images[name].Digest] = d.Release.Images[name]
	}
	return d.each(ctx, func(ctx context.Context, h *Host) error {
		sources := map[string][]api.ImageSource{}
		for digest, image := range images {
			sources[digest] = d.Sources(h, image)
		}
		request := api.Prepare{
			Deployment: d.id, Fence: d.lease.fences[h.Name], Kind: d.Kind, Actor: d.Release.By,
			Host: h.Name, Release: d.Release, Sources: sources, Secrets: d.secretsFor(h),
		}
		var result *api.PrepareResult
		err := d.retry(ctx, h, func(ctx context.Context) (err error) {
			result, err = d.on(h).Prepare(ctx, request, d.hostSink(h.Name))
			return err
		})
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.prepared[h.Name] = result
		return nil
	})
}

// UnattendedError is a rollout that would stop after a canary for a yes, with
// nobody to ask for it.
type UnattendedError struct {
	Service string
	At      pipeline.Pos // of its update block, where the file is known
}

func (e *UnattendedError) Error() string {
	where := ""
	if at := e.At.String(); at != "" {
		where = " (" + at + ")"
	}
	return fmt.Sprintf("the canary of %s goes on only with a yes%s, and there is nobody to ask", e.Service, where)
}

// unattended says that a canary would wait for nobody. Only what the hosts have
// prepared tells: an instance that stays as it is needs no canary.
func (d *deployment) unattended(changes []change) error {
	if d.Continue != nil {
		return nil
	}
	for _, c := range changes {
		if slices.ContainsFunc(strategy.Batches([]change{c}), func(b strategy.Batch) bool { return b.Pause != "" }) {
			return &UnattendedError{Service: c.Service, At: c.Update.At}
		}
	}
	return nil
}

// secretsFor are the values that a host needs: no host is given others.
func (d *deployment) secretsFor(h *Host) map[string]string {
	needed := d.Release.SecretsOn(h.Name)
	for _, t := range d.Release.Tasks {
		if t.Hook != "" && d.taskHost(t.Name) == h {
			for _, s := range t.Secrets {
				needed[s.Name] = d.Release.Secrets[s.Name]
			}
		}
	}
	values := map[string]string{}
	for _, version := range needed {
		if value, ok := d.Secrets[version]; ok {
			values[version] = value
		}
	}
	return values
}

// taskHost is the host that runs a hook: the task's own, or the first that takes
// part where that one is left out.
func (d *deployment) taskHost(task string) *Host {
	if h := d.Host(d.Release.TaskHost(task)); h != nil {
		return h
	}
	return d.hosts[0]
}

// tasks runs the release's tasks with that hook, in the order of their names.
func (d *deployment) tasks(ctx context.Context, hook string) error {
	for _, t := range d.Release.Tasks {
		if t.Hook != hook {
			continue
		}
		h := d.taskHost(t.Name)
		subject := "task " + t.Name
		d.emit(h.Name, event.Event{Type: event.StageStarted, Stage: "task", Subject: subject})
		began := time.Now()
		run, err := RunTask(ctx, h, d.on(h), t.Name, api.RunTask{
			Fence: d.lease.fences[h.Name], Deployment: d.id, Actor: d.Release.By, Key: d.id + "/" + t.Name,
		}, d.hostSink(h.Name))
		if err == nil && (run.ExitCode != 0 || run.TimedOut) {
			err = &taskError{&api.Error{Code: api.CodeUnhealthy, Message: taskFailure(t, run), Logs: run.Logs, Task: t.Name}}
		}
		d.emit(h.Name, event.Event{Type: event.StageFinished, Stage: "task", Subject: subject, Took: time.Since(began).Seconds(), Error: text(err)})
		if err != nil {
			return &HostError{Host: h.Name, Err: err}
		}
	}
	return nil
}

// taskError is a task that ran and failed.
type taskError struct{ fault *api.Error }

func (e *taskError) Error() string { return e.fault.Message }

// Unwrap returns what the task came to.
func (e *taskError) Unwrap() error { return e.fault }

func taskFailure(t pipeline.Task, run *api.TaskRun) string {
	if run.TimedOut {
		return fmt.Sprintf("task %s did not end within %s", t.Name, t.Timeout)
	}
	return fmt.Sprintf("task %s ended with exit code %d", t.Name, run.ExitCode)
}

// commit walks the batches. Retiring goes on beside later batches and beyond
// the confirmation, up to which release ends it here: connections that take
// long to drain must not hold up the rollout, and the agent finishes it.
func (d *deployment) commit(ctx, beside context.Context, changes []change) error {
	bounded, clock := newProgress(ctx)
	defer clock.end()
	batches := d.batches(changes)
	for n, batch := range batches {
		clock.begin(batch.steps, d.update)
		if err := d.step(bounded, n, batch.steps, clock); err != nil {
			return d.diagnose(ctx, clock.verdict(err))
		}
		if len(batch.retire) > 0 {
			d.retiring.Go(func() { d.retire(beside, n, batch.retire) })
		}
		if batch.pause != "" {
			resume := clock.suspend()
			err := d.Continue(bounded, batch.pause)
			resume()
			if err != nil {
				return err
			}
		}
	}
	if err := d.step(bounded, len(batches), d.withoutSteps(batches), nil); err != nil {
		return d.diagnose(ctx, clock.verdict(err))
	}
	return nil
}

// withoutSteps is no step for each host that has none in any batch. Such a host
// still has to follow what needs no new container, its published ports among
// it, before the release is verified.
func (d *deployment) withoutSteps(batches []batch) map[string][]api.Step {
	none := map[string][]api.Step{}
	for _, h := range d.hosts {
		if !slices.ContainsFunc(batches, func(b batch) bool { return len(b.steps[h.Name]) > 0 }) {
			none[h.Name] = nil
		}
	}
	return none
}

// step takes the steps of the n-th batch. A clock is nil where nobody waits.
func (d *deployment) step(ctx context.Context, n int, steps map[string][]api.Step, clock *progress) error {
	return d.eachOf(ctx, slices.Collect(maps.Keys(steps)), func(ctx context.Context, h *Host) error {
		for i := range steps[h.Name] {
			steps[h.Name][i].Key = fmt.Sprintf("%d.%s", n, steps[h.Name][i].Action)
		}
		sink := d.hostSink(h.Name)
		if clock != nil {
			sink = clock.watch(h.Name, sink)
			defer clock.done(h.Name)
		}
		request := api.Steps{Fence: d.lease.fences[h.Name], Steps: steps[h.Name]}
		return d.retry(ctx, h, func(ctx context.Context) error {
			_, err := d.on(h).Steps(ctx, d.id, request, sink)
			return err
		})
	})
}

// retire asks for the old containers to be drained and stopped. What fails
// here is no failure of the release: the agent goes on with it by itself.
func (d *deployment) retire(ctx context.Context, n int, steps map[string][]api.Step) {
	if err := d.step(ctx, n, steps, nil); err != nil && ctx.Err() == nil && !d.over(err) {
		d.emit("", event.Event{Type: event.Warning, Text: "retiring old containers: " + err.Error()})
	}
}

// over tells whether all that failed did so because the deployment was confirmed
// meanwhile: then the agents retire what is left by themselves.
func (d *deployment) over(err error) bool {
	for _, h := range hostErrors(err) {
		if !isCode(h, api.CodeConflict) {
			return false
		}
	}
	return d.confirming.Load()
}

func (d *deployment) verify(ctx context.Context) ([]api.VerifyResult, error) {
	if d.Verify == nil {
		return nil, nil
	}
	return d.Verify(ctx, d.Release)
}

// discard ends a deployment before anything has changed.
func (d *deployment) discard(ctx context.Context, outcome Outcome, cause error) error {
	cause = plainCause(ctx, cause)
	if err := d.revertHosts(ctx, cause); err != nil {
		d.emit("", event.Event{Type: event.Warning, Text: "discarding what was prepared: " + err.Error(), Next: "dray recover " + d.Environment})
	}
	return newError(outcome, cause)
}

// revert reverts every host after something has changed.
func (d *deployment) revert(ctx context.Context, cause error) error {
	cause = plainCause(ctx, cause)
	err := d.revertHosts(ctx, cause)
	if err == nil {
		return newError(Reverted, cause)
	}
	e := newError(NotReverted, cause)
	e.Stuck = FailedHosts(err)
	e.Cause = errors.Join(cause, err)
	return e
}

// plainCause is why ctx ended, when that is what a call failed of: which call it
// was tells nobody anything.
func plainCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return cause
	}
	return err
}

func (d *deployment) emit(host string, e event.Event) {
	e.Host, e.Release, e.Revision = host, d.Release.Number, d.Release.Revision
	d.sink.Emit(e)
}

// newID returns an id that sorts by time.
func newID() string {
	return time.Now().UTC().Format("20060102t150405") + "-" + strings.ToLower(rand.Text()[:8])
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
