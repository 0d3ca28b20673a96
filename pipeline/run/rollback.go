package run

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/event"
)

// Back is the release that a rollback goes to.
type Back struct {
	Release pipeline.ReleaseNumber // none: the stable one before the current
	Exact   bool                   // this revision; otherwise the newest that is kept and not current

	NoVerify bool // do not run the environment's verify commands
}

// Rollback brings an older release back, from what the hosts kept. Where a
// release failed and is held, what there is to go back to is the current one.
func (r *Runner) Rollback(ctx context.Context, name string, to Back) (*pipeline.Deployed, error) {
	env, err := r.environment(name)
	if err != nil {
		return nil, err
	}
	open, err := r.Deployer.Open(ctx, env, r.Skip, r.Sink)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	kept, err := open.Releases(ctx)
	if err != nil {
		return nil, err
	}
	running, err := open.Running(ctx)
	if err != nil {
		return nil, err
	}
	if current := running.Release.ReleaseNumber(); running.Paused.Known() && (!to.Release.Known() || to.Release == current || to.Release.Number == current.Number && !to.Exact) {
		return r.abort(ctx, env, open, running)
	}
	if !to.Release.Known() && running.Release != nil {
		if to.Release, err = before(ctx, open, running.Release, kept); err != nil {
			return nil, err
		}
		to.Exact = true
	}
	target, err := chooseRollback(env.Name, kept, running.Release.ReleaseNumber(), to)
	if err != nil {
		return nil, err
	}
	target.By = r.Actor
	values, err := r.valuesFor(ctx, env, open, target)
	if err != nil {
		return nil, err
	}
	d := pipeline.Deployment{
		Kind: pipeline.KindRollback, Release: target.Release, Secrets: values, Origin: name, Base: running.Release.ReleaseNumber(),
	}
	if !to.NoVerify {
		d.Verify = r.verifier(env, open)
	}
	return r.deploy(ctx, env, open, d)
}

// valuesFor finds the values of a kept release's secrets where some host may
// lack one: hosts have been added since, or its instances go elsewhere.
func (r *Runner) valuesFor(ctx context.Context, env *pipeline.Environment, open Previewer, target *pipeline.Kept) (map[string]string, error) {
	next, err := open.Preview(ctx, target.Release)
	if err != nil {
		return nil, err
	}
	if len(target.Lacking) == 0 && next.ContentHash() == target.ContentHash() {
		return nil, nil
	}
	return r.Secrets.Kept(ctx, env.Name, target.Secrets)
}

// before is the release before the current one that was something else: not
// simply the newest kept, which may be one that was rolled back, nor one that
// differs in its number only, as one that was deployed again to mend drift.
func before(ctx context.Context, archive Archive, current *pipeline.Release, kept []pipeline.Kept) (pipeline.ReleaseNumber, error) {
	n := current.ReleaseNumber()
	for seen := map[pipeline.ReleaseNumber]bool{}; n.Known() && !seen[n]; {
		seen[n] = true
		var err error
		if n, err = cameAfter(ctx, archive, n, kept); err != nil {
			return n, err
		}
		i := slices.IndexFunc(kept, func(k pipeline.Kept) bool { return k.ReleaseNumber() == n })
		if i < 0 || !kept[i].SameExceptPlacement(current) {
			return n, nil
		}
	}
	return pipeline.ReleaseNumber{}, nil
}

// cameAfter is the release that ran when n came. A rollback over other hosts gives
// a release another revision, which was never deployed: then it is the one that
// its first places were deployed after.
func cameAfter(ctx context.Context, archive Archive, n pipeline.ReleaseNumber, kept []pipeline.Kept) (pipeline.ReleaseNumber, error) {
	from, err := archive.Before(ctx, n)
	i := slices.IndexFunc(kept, func(k pipeline.Kept) bool { return k.ReleaseNumber() == n })
	for j := 0; err == nil && !from.Known() && i >= 0 && j < len(kept); j++ {
		if k := &kept[j]; k.Number == n.Number && k.Revision != n.Revision && k.SameExceptPlacement(&kept[i].Release) {
			from, err = archive.Before(ctx, k.ReleaseNumber())
		}
	}
	return from, err
}

// abort goes back from a release that is held to the one that all hosts have
// confirmed.
func (r *Runner) abort(ctx context.Context, env *pipeline.Environment, open Environment, running *pipeline.Running) (*pipeline.Deployed, error) {
	done := &pipeline.Deployed{From: running.Paused, Release: pipeline.Release{Environment: env.Name}}
	if running.Release != nil {
		done.Release = *running.Release
	}
	sink := event.With(r.Sink, func(e *event.Event) { e.Environment = env.Name })
	return stage(sink, "deploy", hostsOf(open), func(event.Sink) (*pipeline.Deployed, error) {
		return done, open.Abort(ctx, done.Release.ReleaseNumber())
	})
}

// hostsOf names the hosts that take part.
func hostsOf(open Environment) string {
	return strings.Join(slices.Sorted(maps.Keys(open.Addresses())), " ")
}

// chooseRollback picks one of the kept releases, which are newest first.
func chooseRollback(env string, kept []pipeline.Kept, current pipeline.ReleaseNumber, to Back) (*pipeline.Kept, error) {
	var others []string
	for i := range kept {
		n := kept[i].ReleaseNumber()
		switch {
		case n == current:
			continue
		case n == to.Release, n.Number == to.Release.Number && !to.Exact:
			return &kept[i], nil
		}
		others = append(others, n.String())
	}
	refusal := &Refusal{Environment: env, Release: to.Release, Runs: current, Next: "dray history " + env, Back: true}
	switch {
	case !to.Release.Known():
		refusal.Reasons = []string{"there is no stable release before the current one"}
	case to.Release == current, to.Release.Number == current.Number && !to.Exact:
		refusal.Reasons = []string{fmt.Sprintf("it runs release %s already", current)}
	case len(others) == 0:
		refusal.Reasons = []string{fmt.Sprintf("release %s is not kept, and no other one is", to.Release)}
	default:
		refusal.Reasons = []string{fmt.Sprintf("release %s is not kept; there are: %s", to.Release, strings.Join(others, ", "))}
	}
	return nil, refusal
}
