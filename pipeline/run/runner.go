package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
)

// Builder builds one target into this user's image store.
type Builder interface {
	// Build builds a target; built has the targets that its contexts name.
	Build(ctx context.Context, target *pipeline.Target, built Built, sink event.Sink) (pipeline.ReleaseImage, error)
}

// Images moves images between the image store and registries.
type Images interface {
	// Push brings an image of the store to its registry under these tags.
	Push(ctx context.Context, image pipeline.ReleaseImage, tags []string, sink event.Sink) error
	// Pin gives the digest that a reference has now, or is pinned to.
	Pin(ctx context.Context, ref string) (pipeline.ReleaseImage, error)
}

// Deployer opens environments.
type Deployer interface {
	Open(ctx context.Context, env *pipeline.Environment, sink event.Sink) (Environment, error)
}

// Environment is an environment whose hosts are connected.
type Environment interface {
	// Running returns the release that all hosts have confirmed.
	Running(ctx context.Context) (*Running, error)
	// Evidence checks what the hosts swear about the release that they run.
	Evidence(ctx context.Context, r *pipeline.Release) (*Evidence, error)
	// Releases returns the stable releases kept on the hosts, newest first.
	Releases(ctx context.Context) ([]pipeline.Release, error)
	// Before returns the name of the release that ran when this one was deployed
	// or promoted.
	Before(ctx context.Context, n pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error)
	// Preview returns a release as it would be brought now: its name here, and
	// where its instances would go.
	Preview(ctx context.Context, r pipeline.Release) (pipeline.Release, error)
	Deploy(ctx context.Context, d Deployment) (*Deployed, error)
	// TakeBack has all hosts go back from a release that failed and is held,
	// to the release base, or to nothing.
	TakeBack(ctx context.Context, base pipeline.ReleaseNumber) error
	Addresses() map[string]string // host's name → address or DNS name
	Close()
}

// Running is what an environment runs.
type Running struct {
	Release   *pipeline.Release      // nil: nothing was ever confirmed
	Differ    []string               // hosts that run another release than the others, or have one in doubt
	Held      pipeline.ReleaseNumber // a release that failed and is held on some hosts
	Approvals []Approval             // given for this environment
	Locked    string                 // who keeps deployments out, and why; "": nobody
}

// Evidence is what the hosts of an environment swear about a release.
type Evidence struct {
	Faults []string      // what is wrong with it, in words; empty when it holds
	Age    time.Duration // healthy on all hosts for so long, on their own clocks
}

// Approval is a person's yes to a release entering an environment under this
// name, with this content (pipeline.Release.Approvable).
type Approval struct {
	Release pipeline.ReleaseNumber
	Content string
	By      pipeline.Actor
	At      time.Time
}

// Deployment is one release on its way onto an environment.
type Deployment struct {
	Kind     string
	Release  pipeline.Release
	Secrets  map[string]string // version → value
	Origin   Environment       // where the bytes are when this machine has not got them; may be nil
	Approval *Approval
	Base     pipeline.ReleaseNumber                              // the release that ran when this one was chosen: if another one does by now, it is refused; none: whatever runs
	Verify   func(ctx context.Context, r pipeline.Release) error // nil when there is nothing to verify
	// Continue answers whether a canary may go on to all instances; nil where
	// nobody can.
	Continue func(ctx context.Context, reason string) error
}

// Deployed says what a deployment has done.
type Deployed struct {
	Release   pipeline.Release
	From      pipeline.ReleaseNumber
	Unchanged bool
	Changed   int
	Removed   int
	Received  map[string]int64
}

// Secrets finds the secrets of an environment: name → version and version →
// value.
type Secrets func(ctx context.Context, env string, names []string) (versions, values map[string]string, err error)

// Runner walks a project's stages.
type Runner struct {
	Project  *pipeline.Project
	Builder  Builder
	Images   Images
	Deployer Deployer
	Secrets  Secrets
	Actor    pipeline.Actor
	Source   pipeline.Source
	Sink     event.Sink
	Parallel int              // builds at a time; 0 is 2
	Now      func() time.Time // the clock of gates
	// Approve asks the person at the terminal about what would enter env; nil
	// where there is none.
	Approve func(env string, r pipeline.Release) (bool, error)
	// Continue asks whether a healthy canary may go on; an error is a no. Nil
	// where there is nobody to ask.
	Continue func(ctx context.Context, reason string) error

	found struct {
		sync.Mutex
		of map[string]foundSecrets // by environment
	}
}

// Built maps targets to what they became.
type Built map[string]pipeline.ReleaseImage

// Push pushes what was built, where the project declares a registry.
func (r *Runner) Push(ctx context.Context, built Built) error {
	if r.Project.Registry == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(built)) {
		tags := slices.Clone(r.Project.Targets[name].Tags)
		if r.Source.Commit != "" && !r.Source.Dirty {
			tags = append(tags, "git-"+r.Source.Commit[:min(12, len(r.Source.Commit))])
		}
		_, err := stage(r.Sink, "push", name, func(sink event.Sink) (struct{}, error) {
			return struct{}{}, givenUp(ctx, r.Images.Push(ctx, built[name], tags, sink))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stage reports the start and the end of one stage.
func stage[T any](sink event.Sink, name, subject string, do func(event.Sink) (T, error)) (T, error) {
	sink = event.With(sink, func(e *event.Event) {
		e.Stage = name
		if e.Subject == "" {
			e.Subject = subject
		}
	})
	began := time.Now()
	sink.Emit(event.Event{Type: event.StageStarted})
	got, err := do(sink)
	end := event.Event{Type: event.StageFinished, Took: time.Since(began).Seconds()}
	if image, ok := any(got).(pipeline.ReleaseImage); ok {
		end.Digest, end.Total = image.Digest, image.Size
	}
	if err != nil {
		end.Error = err.Error()
	}
	var cancelled *cancelledError
	if errors.As(err, &cancelled) {
		end.State = event.Cancelled
	}
	sink.Emit(end)
	return got, err
}

// cancelledError is a stage that was not to go on.
type cancelledError struct{ error }

// Unwrap returns what it ended with.
func (e *cancelledError) Unwrap() error { return e.error }

// givenUp marks a stage's error where its context has ended: then something
// else failed, and not the stage.
func givenUp(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &cancelledError{err}
}

// Refusal is a gate's no. Nothing has changed.
type Refusal struct {
	Environment string
	Release     pipeline.ReleaseNumber
	Reasons     []string
	Runs        pipeline.ReleaseNumber // what the environment runs now
	Next        string                 // command to type
	Back        bool                   // asked was for a way back, not in
}

func (r *Refusal) Error() string {
	text := fmt.Sprintf("release %s may not enter %s:", r.Release, r.Environment)
	switch {
	case r.Back && !r.Release.Known():
		text = fmt.Sprintf("%s can't go back:", r.Environment)
	case r.Back:
		text = fmt.Sprintf("%s can't go back to release %s:", r.Environment, r.Release)
	case !r.Release.Known():
		text = fmt.Sprintf("this may not enter %s:", r.Environment)
	}
	for _, reason := range r.Reasons {
		text += "\n  - " + reason
	}
	return text
}

// IsRefusal tells whether err is a gate's no.
func IsRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}
