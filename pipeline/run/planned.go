package run

import (
	"context"

	"golang.org/x/sync/errgroup"

	"dray/pipeline"
)

// deployPlanned brings what r.Planned says onto env, and nothing else: the
// planned images, if the file and the secrets still come to what was planned.
// The hosts are compared under the lease (pipeline.Deployment.Expect).
func (r *Runner) deployPlanned(ctx context.Context, env *pipeline.Environment) (*pipeline.Deployed, error) {
	var built Built
	var open Environment
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if env.Promotion == nil { // otherwise the gate gives the images
			built, err = r.plannedBuilt(both, env)
		}
		return err
	})
	group.Go(func() (err error) {
		open, err = r.Deployer.Open(both, env, nil, r.Sink) // a plan is of all hosts
		return err
	})
	group.Go(func() error { return r.secretsAtHand(both, env) })
	err := group.Wait()
	if open != nil {
		defer open.Close()
	}
	if err != nil {
		return nil, err
	}
	if env.Promotion != nil {
		return r.promote(ctx, arrival{env: env, open: open, images: r.Planned.Images}, env.Promotion.From)
	}
	images, err := r.imagesFor(ctx, env, built)
	if err != nil {
		return nil, err
	}
	release, _, err := r.release(ctx, env, images)
	if err == nil {
		err = r.Planned.CheckRelease(&release) // before anything is pushed
	}
	if err != nil {
		return nil, err
	}
	return r.bring(ctx, arrival{env: env, open: open, images: images, built: built}, pipeline.Deployment{Kind: pipeline.KindDeploy})
}

// plannedBuilt gives the planned images of env's targets where this machine has
// them. What it lacks is built, and comes to the same bytes or is refused later.
func (r *Runner) plannedBuilt(ctx context.Context, env *pipeline.Environment) (Built, error) {
	built := Built{}
	for key, image := range uses(env) {
		if image.Target == "" {
			continue
		}
		planned := r.Planned.Images[key]
		has := planned.Digest != ""
		if has {
			var err error
			if has, err = r.Images.Has(ctx, planned.Digest); err != nil {
				return nil, err
			}
		}
		if !has {
			return r.Build(ctx, targetsOf(env)...)
		}
		built[image.Target] = planned
	}
	return built, nil
}
