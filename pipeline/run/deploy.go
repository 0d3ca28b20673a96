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
		built, err = r.Build(both, targetsOf(env)...)
		return err
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
	return r.arrive(ctx, env, open, built)
}

// arrival is what is on its way onto an open environment.
type arrival struct {
	env    *pipeline.Environment
	open   Environment
	images map[string]pipeline.ReleaseImage // by service or "task.NAME"; nil: those that the environment before it runs
	built  Built                            // in this run: pushed once the gate has let them in
	number int                              // 0 is the environment's next
}

// arrive brings what was built to env, through its gate where it has one.
func (r *Runner) arrive(ctx context.Context, env *pipeline.Environment, open Environment, built Built) (*pipeline.Deployed, error) {
	images, err := r.imagesFor(ctx, env, built)
	if err != nil {
		return nil, err
	}
	a := arrival{env: env, open: open, images: images, built: built}
	if env.Promotion != nil {
		return r.promote(ctx, a, env.Promotion.From)
	}
	return r.bring(ctx, a, pipeline.Deployment{Kind: pipeline.KindDeploy})
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
	return r.promote(ctx, arrival{env: env, open: open}, from)
}

// promote brings what from runs to the next environment. Where something is on
// its way, only exactly those images may pass.
func (r *Runner) promote(ctx context.Context, a arrival, from string) (*pipeline.Deployed, error) {
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
	current, err := a.open.Running(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what %s runs: %w", a.env.Name, err)
	}
	gate := gate{runner: r, env: a.env, from: source, running: running, open: a.open, current: current, expected: a.images, evidence: &pipeline.Evidence{}}
	if running.Release != nil && a.env.Promotion != nil {
		if gate.evidence, err = origin.Evidence(ctx, running.Release); err != nil {
			return nil, fmt.Errorf("asking %s for evidence: %w", from, err)
		}
	}
	images, approval, err := gate.check(ctx)
	if err != nil {
		return nil, err
	}
	a.images, a.number = images, running.Release.Number
	return r.bring(ctx, a, pipeline.Deployment{Kind: pipeline.KindPromote, Origin: from, Approval: approval})
}

// Ship builds, then walks every environment in order, up to the first gate
// that says no for now.
func (r *Runner) Ship(ctx context.Context) ([]*pipeline.Deployed, *Refusal, error) {
	envs := r.Project.Environments
	if len(envs) == 0 {
		return nil, nil, pipeline.WithHint(errors.New("the file declares no environment, so there is nowhere to ship to"),
			pipeline.Hint{Conclusion: "Nothing was changed.", Next: "add an environment to the file, or dray build"})
	}
	if err := r.secretsAtHand(ctx, envs[0]); err != nil {
		return nil, nil, err
	}
	built, err := r.Build(ctx, targetsOf(envs...)...)
	if err != nil {
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
	return r.arrive(ctx, env, open, built)
}

// bring pushes what was built for the environment, makes the release, and deploys
// it. Nothing is pushed for an environment that takes nothing.
func (r *Runner) bring(ctx context.Context, a arrival, d pipeline.Deployment) (*pipeline.Deployed, error) {
	mine := Built{}
	for _, name := range targetsOf(a.env) {
		if image, ok := a.built[name]; ok && r.pushed[name] != image.Digest {
			mine[name] = image
		}
	}
	if err := r.Push(ctx, mine); err != nil {
		return nil, err
	}
	for name, image := range mine { // the next environment of a ship finds it there
		if r.pushed == nil {
			r.pushed = map[string]string{}
		}
		r.pushed[name] = image.Digest
	}
	release, values, err := r.release(ctx, a.env, a.images)
	if err != nil {
		return nil, err
	}
	release.Number = a.number
	d.Release, d.Secrets, d.Verify = release, values, r.verifier(a.env, a.open)
	if r.Planned != nil {
		d.Expect = r.Planned.Check
	}
	return r.deploy(ctx, a.env, a.open, d)
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
