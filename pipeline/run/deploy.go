package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
	"dray/pipeline/event"
)

// Deploy builds what env runs, and brings it there. An environment behind a
// gate only takes what passed the environment before.
func (r *Runner) Deploy(ctx context.Context, name string) (*pipeline.Deployed, error) {
	env, err := r.environment(name)
	if err != nil {
		return nil, err
	}
	if r.Planned != nil {
		return r.deployPlanned(ctx, env)
	}
	// Hosts are reached while the image is built: a wrong key shows at once.
	var built Built
	var open Environment
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if built, err = r.Build(both, targetsOf(env)...); err != nil || len(built) == 0 {
			return err
		}
		return r.Push(both, built)
	})
	group.Go(func() (err error) {
		open, err = r.Deployer.Open(both, env, r.Skip, r.Sink)
		return err
	})
	group.Go(func() error { return r.secretsAtHand(both, env) })
	err = group.Wait()
	if open != nil {
		defer open.Close()
	}
	if err != nil {
		return nil, err
	}
	images, err := r.imagesFor(ctx, env, built)
	if err != nil {
		return nil, err
	}
	if env.Promotion != nil {
		return r.enter(ctx, env, open, images)
	}
	return r.bring(ctx, env, open, pipeline.Deployment{Kind: pipeline.KindDeploy}, images, 0)
}

// Promote brings the release that from runs to the next environment. An empty
// from is the one that the gate names.
func (r *Runner) Promote(ctx context.Context, from, to string) (*pipeline.Deployed, error) {
	env, err := r.environment(to)
	if err != nil {
		return nil, err
	}
	switch {
	case env.Promotion == nil && from == "":
		return nil, &Refusal{Environment: to, Reasons: []string{"it has no promotion block that says from where"},
			Next: fmt.Sprintf("dray promote FROM %s, or dray deploy %[1]s", to)}
	case env.Promotion != nil && from != "" && from != env.Promotion.From:
		return nil, &Refusal{Environment: to, Reasons: []string{
			fmt.Sprintf("it takes releases from %s, not from %s (%s)", env.Promotion.From, from, env.Promotion.At),
		}, Next: fmt.Sprintf("dray promote %s %s", env.Promotion.From, to)}
	case from == "":
		from = env.Promotion.From
	}
	open, err := r.Deployer.Open(ctx, env, r.Skip, r.Sink)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	return r.promote(ctx, env, from, open, nil)
}

// enter promotes images into an environment behind a gate.
func (r *Runner) enter(ctx context.Context, env *pipeline.Environment, open Environment, images map[string]pipeline.ReleaseImage) (*pipeline.Deployed, error) {
	return r.promote(ctx, env, env.Promotion.From, open, images)
}

// promote brings what from runs to env. Where expected is given, only exactly
// those images may pass.
func (r *Runner) promote(ctx context.Context, env *pipeline.Environment, from string, open Environment, expected map[string]pipeline.ReleaseImage) (*pipeline.Deployed, error) {
	source, err := r.environment(from)
	if err != nil {
		return nil, err
	}
	origin, err := r.Deployer.Open(ctx, source, nil, r.Sink)
	if err != nil {
		return nil, fmt.Errorf("reading what %s runs: %w", from, err)
	}
	defer origin.Close()
	running, err := origin.Running(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what %s runs: %w", from, err)
	}
	current, err := open.Running(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what %s runs: %w", env.Name, err)
	}
	gate := gate{runner: r, env: env, from: source, running: running, open: open, current: current, expected: expected, evidence: &pipeline.Evidence{}}
	if running.Release != nil && env.Promotion != nil {
		if gate.evidence, err = origin.Evidence(ctx, running.Release); err != nil {
			return nil, fmt.Errorf("asking %s for evidence: %w", from, err)
		}
	}
	images, approval, err := gate.check(ctx)
	if err != nil {
		return nil, err
	}
	return r.bring(ctx, env, open, pipeline.Deployment{Kind: pipeline.KindPromote, Origin: from, Approval: approval}, images, running.Release.Number)
}

// Ship builds, then walks every environment in order, up to the first gate
// that says no for now.
func (r *Runner) Ship(ctx context.Context) ([]*pipeline.Deployed, *Refusal, error) {
	envs := r.Project.Environments
	if err := r.secretsAtHand(ctx, envs[0]); err != nil {
		return nil, nil, err
	}
	built, err := r.Build(ctx, targetsOf(envs...)...)
	if err != nil {
		return nil, nil, err
	}
	if err := r.Push(ctx, built); err != nil {
		return nil, nil, err
	}
	var done []*pipeline.Deployed
	for _, env := range envs {
		got, err := r.shipTo(ctx, env, built)
		var refusal *Refusal
		if errors.As(err, &refusal) && len(done) > 0 {
			return done, refusal, nil
		}
		if err != nil {
			return done, nil, err
		}
		done = append(done, got)
	}
	return done, nil, nil
}

func (r *Runner) shipTo(ctx context.Context, env *pipeline.Environment, built Built) (*pipeline.Deployed, error) {
	open, err := r.Deployer.Open(ctx, env, r.Skip, r.Sink)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	images, err := r.imagesFor(ctx, env, built)
	if err != nil {
		return nil, err
	}
	if env.Promotion != nil {
		return r.enter(ctx, env, open, images)
	}
	return r.bring(ctx, env, open, pipeline.Deployment{Kind: pipeline.KindDeploy}, images, 0)
}

// bring makes the release and deploys it. Number 0 is the environment's next.
func (r *Runner) bring(ctx context.Context, env *pipeline.Environment, open Environment, d pipeline.Deployment, images map[string]pipeline.ReleaseImage, number int) (*pipeline.Deployed, error) {
	release, values, err := r.release(ctx, env, images)
	if err != nil {
		return nil, err
	}
	release.Number = number
	d.Release, d.Secrets, d.Verify = release, values, r.verifier(env, open)
	if r.Planned != nil {
		d.Expect = r.Planned.Check
	}
	return r.deploy(ctx, env, open, d)
}

func (r *Runner) deploy(ctx context.Context, env *pipeline.Environment, open Environment, d pipeline.Deployment) (*pipeline.Deployed, error) {
	d.Continue = r.Continue
	sink := event.With(r.Sink, func(e *event.Event) { e.Environment = env.Name })
	return stage(sink, "deploy", hostsOf(open), func(event.Sink) (*pipeline.Deployed, error) {
		return open.Deploy(ctx, d)
	})
}

func (r *Runner) environment(name string) (*pipeline.Environment, error) {
	if env := r.Project.Environment(name); env != nil {
		return env, nil
	}
	var names []string
	for _, e := range r.Project.Environments {
		names = append(names, e.Name)
	}
	return nil, fmt.Errorf("no environment %q; declared: %s", name, strings.Join(names, ", "))
}
