package environment

import (
	"context"
	"fmt"

	"dray/deploy"
	"dray/deploy/strategy"
	"dray/pipeline"
	"dray/pipeline/plan"
	"dray/targets/api"
)

// Plan compares a release, as Preview gives it, with what the hosts run.
func (e *Environment) Plan(ctx context.Context, release pipeline.Release) (*plan.Plan, error) {
	seen, err := e.fleet.Observe(ctx)
	if err != nil {
		return nil, err
	}
	in := plan.Input{Desired: release, Hosts: e.observed(ctx, seen), Promotes: e.env.Promotion != nil, Foresee: foresee}
	for _, v := range e.env.Verify {
		in.Verify = append(in.Verify, v.Name)
	}
	result := plan.New(in)
	result.Warnings = append(result.Warnings, strategy.Writers(release.Services, release.Placement)...)
	for _, h := range e.fleet.Hosts() {
		if f := seen[h.Name].Freeze; f != nil {
			result.Warnings = append(result.Warnings, fmt.Sprintf("%s is locked by %s: %s", e.env.Name, f.By.User, f.Reason))
			break // one is enough to refuse a deployment
		}
	}
	for _, s := range e.opener.OrphansOf(ctx, e.env) {
		result.Warnings = append(result.Warnings, s.Note())
	}
	return result, nil
}

// observed is what each host runs, with what it has room for.
func (e *Environment) observed(ctx context.Context, seen map[string]*api.Environment) []pipeline.Observed {
	var out []pipeline.Observed
	for _, h := range e.fleet.Hosts() {
		o := deploy.Observed(h.Name, seen[h.Name])
		if facts, err := h.Client.Host(ctx); err == nil { // without it the plan says less
			o.MemoryFree = pipeline.Bytes(facts.MemoryFree)
		}
		out = append(out, o)
	}
	return out
}

// foresee lets the one place that knows batches say what they mean.
func foresee(s *pipeline.Service, changed []plan.Placed, count int) plan.Outlook {
	instances := make([]strategy.Instance, 0, len(changed))
	for _, p := range changed {
		instances = append(instances, strategy.Instance(p))
	}
	return plan.Outlook(strategy.Foresee(s, instances, count))
}
