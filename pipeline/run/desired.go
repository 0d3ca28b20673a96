package run

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
)

// Desired is what a deployment would bring to an environment now.
type Desired struct {
	Release pipeline.Release // without a placement; Number 0: the environment's next
	Open    Environment      // connected; the caller closes it
	Gate    *Refusal         // the gate's no, if it says no now
}

// Desire builds what env would run, or takes what its gate would let in, and
// connects to it. No host is changed.
func (r *Runner) Desire(ctx context.Context, name string) (*Desired, error) {
	env, err := r.environment(name)
	if err != nil {
		return nil, err
	}
	d := &Desired{}
	var images map[string]pipeline.ReleaseImage
	number := 0
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if env.Promotion != nil {
			images, number, d.Gate, err = r.waiting(both, env)
			return err
		}
		built, err := r.Build(both, targetsOf(env)...)
		if err == nil {
			images, err = r.imagesFor(both, env, built)
		}
		return err
	})
	group.Go(func() (err error) {
		d.Open, err = r.Deployer.Open(both, env, r.Sink)
		return err
	})
	err = group.Wait()
	if err == nil {
		d.Release, _, err = r.release(ctx, env, images)
		d.Release.Number = number
	}
	if err != nil && d.Open != nil {
		d.Open.Close()
	}
	return d, err
}

// waiting is what the environment before the gate runs.
func (r *Runner) waiting(ctx context.Context, env *pipeline.Environment) (map[string]pipeline.ReleaseImage, int, *Refusal, error) {
	source, err := r.environment(env.Promotion.From)
	if err != nil {
		return nil, 0, nil, err
	}
	origin, err := r.Deployer.Open(ctx, source, r.Sink)
	if err != nil {
		return nil, 0, nil, err
	}
	defer origin.Close()
	running, err := origin.Running(ctx)
	if err != nil {
		return nil, 0, nil, err
	}
	ask := *r
	ask.Approve = nil // a plan asks nobody
	g := gate{runner: &ask, env: env, from: source, running: running, current: &Running{}, evidence: &Evidence{}}
	if running.Release != nil {
		if g.evidence, err = origin.Evidence(ctx, running.Release); err != nil {
			return nil, 0, nil, err
		}
	}
	_, _, err = g.check()
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		return nil, 0, nil, err
	}
	if running.Release == nil {
		return nil, 0, nil, refusal
	}
	images, _ := promoted(env, running.Release)
	return images, running.Release.Number, refusal, nil
}
