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
	"dray/pipeline/plan"
	"dray/pipeline/secret"
)

// Builder builds one target into this user's image store.
type Builder interface {
	// Build builds a target; built has the targets that its contexts name.
	Build(ctx context.Context, target *pipeline.Target, built map[string]pipeline.ReleaseImage, sink event.Sink) (pipeline.ReleaseImage, error)
}

// Images moves images between the image store and registries.
type Images interface {
	// Push brings an image of the store to its registry under these tags.
	Push(ctx context.Context, image pipeline.ReleaseImage, tags []string, sink event.Sink) error
	// Pin gives the digest that a reference has now, or is pinned to.
	Pin(ctx context.Context, ref string) (pipeline.ReleaseImage, error)
	// Has says whether the image store has all of an image.
	Has(ctx context.Context, digest string) (bool, error)
}

// Deployer opens environments.
type Deployer interface {
	// Open connects to the hosts of an environment, without those to skip.
	Open(ctx context.Context, env *pipeline.Environment, skip []string, sink event.Sink) (Environment, error)
}

// Environment is an environment whose hosts are connected: what it runs, what
// it has kept, and the way onto it.
type Environment interface {
	Observer
	Archive
	Planner
	Rollout
	Addresses() map[string]string // host's name → address or DNS name
	Close()
}

// Observer tells what an environment runs, and what its hosts swear about it.
type Observer interface {
	// Running returns the release that all hosts have confirmed.
	Running(ctx context.Context) (*pipeline.Running, error)
	// Evidence checks what the hosts swear about the release that they run.
	Evidence(ctx context.Context, r *pipeline.Release) (*pipeline.Evidence, error)
}

// Archive has the releases that ran in an environment.
type Archive interface {
	// Releases returns the stable releases that the hosts keep together, newest
	// first.
	Releases(ctx context.Context) ([]pipeline.Kept, error)
	// Before returns the name of the release that ran when this one was deployed
	// or promoted.
	Before(ctx context.Context, n pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error)
}

// Planner tells what bringing a release would do.
type Planner interface {
	Previewer
	// Plan compares a release, as Preview gives it, with what the hosts run.
	Plan(ctx context.Context, r pipeline.Release) (*plan.Plan, error)
}

// Rollout changes an environment.
type Rollout interface {
	Deploy(ctx context.Context, d pipeline.Deployment) (*pipeline.Deployed, error)
	// Abort has all hosts go back from a release that failed and is held,
	// to the release base, or to nothing.
	Abort(ctx context.Context, base pipeline.ReleaseNumber) error
	// Approve records that a release may enter.
	Approve(ctx context.Context, yes pipeline.Approval) error
}

// Previewer tells how a release would be brought now.
type Previewer interface {
	// Preview returns the release under the name that it would have here, and with
	// the places where its instances would go.
	Preview(ctx context.Context, r pipeline.Release) (pipeline.Release, error)
}

// Secrets finds the secrets of an environment: name → version and version →
// value.
type Secrets func(ctx context.Context, env string, names []string) (versions, values map[string]string, err error)

// Kept finds values of secrets by their versions, for hosts that may have them: of
// those whose value is the same here still. One that this machine lacks is no
// fault, since a host that has it needs none.
func (find Secrets) Kept(ctx context.Context, env string, versions map[string]string) (map[string]string, error) {
	if len(versions) == 0 {
		return nil, nil
	}
	names := slices.Sorted(maps.Keys(versions))
	here, values, err := find(ctx, env, names)
	var missing *secret.MissingError
	if errors.As(err, &missing) {
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(missing.Names, name) })
		if len(names) == 0 {
			return nil, nil
		}
		here, values, err = find(ctx, env, names)
	}
	if err != nil {
		return nil, err
	}
	for name, version := range here {
		if versions[name] != version {
			delete(values, version)
		}
	}
	return values, nil
}

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
	Skip     []string         // hosts to leave out of what is changed; what is promoted from is asked whole
	Parallel int              // builds at a time; 0 is 2
	Now      func() time.Time // the clock of gates
	// Planned is a saved plan of the environment that is deployed: what differs from
	// it is refused (*plan.MovedError). Nil: whatever the file says.
	Planned *plan.Saved
	// Approve asks the person at the terminal about what would enter env; nil
	// where there is none.
	Approve func(ctx context.Context, env string, r pipeline.Release) (bool, error)
	// Continue asks whether a healthy canary may go on; an error is a no. Nil
	// where there is nobody to ask.
	Continue func(ctx context.Context, reason string) error

	outlive time.Duration     // of tests; 0 is outlive
	pushed  map[string]string // target → digest that was pushed in this run

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
		tags := slices.Concat(r.Project.Targets[name].Tags, r.Project.Registry.Tags)
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

// Hint says that nothing was changed, and the way in.
func (r *Refusal) Hint() pipeline.Hint {
	h := pipeline.Hint{Class: pipeline.Refused, Environment: r.Environment, Release: r.Release, Next: r.Next, Conclusion: r.Environment + " is untouched."}
	if r.Back || r.Runs.Known() || r.Release.Known() { // it was looked at
		h.Conclusion = r.Environment + " is untouched and runs " + r.Runs.Name() + "."
	}
	return h
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
