package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
	"dray/pipeline/plan"
)

// Desired is what a deployment would bring to an environment now.
type Desired struct {
	Release pipeline.Release // under the name, and in the places, that it would have now
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
	var waiting *gate
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if env.Promotion != nil {
			waiting, err = r.waiting(both, env)
			return err
		}
		built, err := r.Build(both, targetsOf(env)...)
		if err == nil {
			images, err = r.imagesFor(both, env, built)
		}
		return err
	})
	group.Go(func() (err error) {
		d.Open, err = r.Deployer.Open(both, env, r.Skip, r.Sink)
		return err
	})
	group.Go(func() error { return r.secretsAtHand(both, env) })
	err = group.Wait()
	number := 0
	if err == nil && waiting != nil {
		images, number, d.Gate, err = waiting.ask(ctx, d.Open)
	}
	if err == nil {
		d.Release, err = r.next(ctx, env, d.Open, images, number)
	}
	if err != nil && d.Open != nil {
		d.Open.Close()
	}
	return d, err
}

// Plan compares what env would run with what its hosts run. With it comes the
// gate's no, if the gate says no now.
func (r *Runner) Plan(ctx context.Context, name string) (*plan.Plan, *Refusal, error) {
	desired, err := r.Desire(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	defer desired.Open.Close()
	result, err := desired.Open.Plan(ctx, desired.Release)
	return result, desired.Gate, err
}

// waiting is the gate in front of env, with what the environment before it
// runs.
func (r *Runner) waiting(ctx context.Context, env *pipeline.Environment) (*gate, error) {
	source, err := r.environment(env.Promotion.From)
	if err != nil {
		return nil, err
	}
	origin, err := r.Deployer.Open(ctx, source, nil, r.Sink)
	if err != nil {
		return nil, err
	}
	defer origin.Close()
	running, err := origin.Running(ctx)
	if err != nil {
		return nil, err
	}
	g := &gate{runner: r, env: env, from: source, running: running, evidence: &pipeline.Evidence{}, silent: true}
	if running.Release != nil {
		if g.evidence, err = origin.Evidence(ctx, running.Release); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// ask returns what would enter the open environment, its number, and the
// gate's no, if it says no now.
func (g *gate) ask(ctx context.Context, open Environment) (map[string]pipeline.ReleaseImage, int, *Refusal, error) {
	var err error
	g.open = open
	if g.current, err = open.Running(ctx); err != nil {
		return nil, 0, nil, err
	}
	_, _, err = g.check(ctx)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		return nil, 0, nil, err
	}
	if g.running.Release == nil {
		return nil, 0, nil, refusal
	}
	images, _ := promoted(g.env, g.running.Release)
	return images, g.running.Release.Number, refusal, nil
}

// Approvable fails unless release n, or any revision of it unless exact, is what
// would enter env now.
func (d *Desired) Approvable(env *pipeline.Environment, n pipeline.ReleaseNumber, exact bool) error {
	next := d.Release.ReleaseNumber()
	if g := d.Gate; g != nil && !g.Release.Known() {
		return pipeline.WithHint(fmt.Errorf("nothing waits for %s: %s", env.Name, strings.Join(g.Reasons, "; ")),
			pipeline.Hint{Class: pipeline.Refused, Conclusion: "Nothing was changed.", Next: g.Next})
	}
	if n == next || (n.Number == next.Number && !exact) {
		return nil
	}
	return pipeline.WithHint(fmt.Errorf("release %s does not wait for %s: what would enter from %s is release %s", n, env.Name, env.Promotion.From, next),
		pipeline.Hint{Class: pipeline.Refused, Conclusion: "Nothing was changed.", Next: fmt.Sprintf("dray approve %s %s", env.Name, next)})
}
