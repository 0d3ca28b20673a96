package environment

import (
	"context"
	"fmt"
	"sync"

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
	hosts, err := e.observed(ctx, seen, release)
	if err != nil {
		return nil, err
	}
	in := plan.Input{Desired: release, Hosts: hosts, Promotes: e.env.Promotion != nil, Foresee: foresee}
	for _, v := range e.env.Verify {
		in.Verify = append(in.Verify, v.Name)
	}
	result := plan.New(in)
	result.Warnings = append(result.Warnings, strategy.Writers(release.Services, release.Placement)...)
	for _, h := range e.fleet.Hosts() {
		if l := seen[h.Name].Lease; l != nil {
			result.Warnings = append(result.Warnings, fmt.Sprintf("%s is being changed by %s (%s): plan again when that has ended", e.env.Name, l.Holder.Who(), l.Holder.Command))
			break // whoever has it has it on all hosts
		}
	}
	for _, h := range e.fleet.Hosts() {
		if f := seen[h.Name].Freeze; f != nil {
			result.Warnings = append(result.Warnings, fmt.Sprintf("%s is locked by %s: %s", e.env.Name, f.By.Who(), f.Reason))
			break // one is enough to refuse a deployment
		}
	}
	for _, s := range e.opener.OrphansOf(ctx, e.env) {
		result.Warnings = append(result.Warnings, s.Note())
	}
	return result, nil
}

// observed is what each host runs, with what it has room for and what it lacks
// of the release's images.
func (e *Environment) observed(ctx context.Context, seen map[string]*api.Environment, release pipeline.Release) ([]pipeline.Observed, error) {
	from := ""
	if e.env.Promotion != nil {
		from = e.env.Promotion.From
	}
	offer, err := e.opener.Images(release, e.opener.holders(from), e.opener.Sink)
	if err != nil {
		return nil, err
	}
	hosts := e.fleet.Hosts()
	out := make([]pipeline.Observed, len(hosts))
	var group sync.WaitGroup
	for i, h := range hosts {
		out[i] = deploy.Observed(h.Name, seen[h.Name])
		group.Go(func() { e.measure(ctx, &out[i], h, offer, release.ImagesOn(h.Name)) })
	}
	group.Wait()
	return out, nil
}

// measure asks a host for its free memory, and for what it lacks. Without an
// answer the plan says less, and is as right.
func (e *Environment) measure(ctx context.Context, o *pipeline.Observed, h *deploy.Host, offer Offer, digests []string) {
	facts, err := h.Client.Host(ctx)
	if err != nil {
		return
	}
	o.MemoryFree = pipeline.Bytes(facts.MemoryFree)
	if send, all, err := offer.Lacking(ctx, h.Dial, facts.Arch, digests); err == nil {
		o.Send, o.SendAll = send, all
	}
}

// foresee lets the one place that knows batches say what they mean.
func foresee(s *pipeline.Service, changed []plan.Placed, count int) plan.Outlook {
	instances := make([]strategy.Instance, 0, len(changed))
	for _, p := range changed {
		instances = append(instances, strategy.Instance(p))
	}
	return plan.Outlook(strategy.Foresee(s, instances, count))
}
