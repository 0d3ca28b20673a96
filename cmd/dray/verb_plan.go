package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/strategy"
	"dray/pipeline"
	"dray/pipeline/plan"
	"dray/pipeline/run"
)

func planCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "plan ENV",
		Short: "What a deployment would change, and what has drifted",
		Long: `plan builds what the environment would run, reads its hosts, and shows the
difference. It changes nothing. Exit code 0: nothing to do; 2: there is
something to do; 1: it could not be found out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			result, gate, err := p.plan(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if gate != nil {
				result.Warnings = append(result.Warnings, "the gate says no for now: "+strings.Join(gate.Reasons, "; "))
			}
			if err := a.result(result, func(w io.Writer) error { return result.Render(w, ui.PlanStyle(os.Stdout)) }); err != nil {
				return err
			}
			if result.Pending || result.Held.Known() {
				return &exitError{code: exitDifferent}
			}
			return nil
		},
	}
}

// plan compares what env would run with what its hosts run.
func (p *project) plan(ctx context.Context, name string) (*plan.Plan, *run.Refusal, error) {
	if _, err := p.environment(name); err != nil {
		return nil, nil, err
	}
	desired, err := p.runner().Desire(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	defer desired.Open.Close()
	open, ok := desired.Open.(*openEnvironment)
	if !ok {
		return nil, nil, fmt.Errorf("planning %s: unexpected environment %T", name, desired.Open)
	}
	seen, err := open.fleet.Observe(ctx)
	if err != nil {
		return nil, nil, err
	}
	release := desired.Release
	in := plan.Input{Promotes: open.env.Promotion != nil, Foresee: foresee}
	for _, h := range open.fleet.Hosts() {
		observed := deploy.Observed(h.Name, seen[h.Name])
		if facts, err := h.Client.Host(ctx); err == nil { // without it the plan says less
			observed.MemoryFree = pipeline.Bytes(facts.MemoryFree)
		}
		in.Hosts = append(in.Hosts, observed)
	}
	for _, v := range open.env.Verify {
		in.Verify = append(in.Verify, v.Name)
	}
	in.Desired = release
	result := plan.New(in)
	result.Warnings = append(result.Warnings, strategy.Writers(release.Services, release.Placement)...)
	for _, h := range open.fleet.Hosts() {
		if f := seen[h.Name].Freeze; f != nil {
			result.Warnings = append(result.Warnings, fmt.Sprintf("%s is locked by %s: %s", name, f.By.User, f.Reason))
			break // one is enough to refuse a deployment
		}
	}
	for _, s := range p.leftBehind(ctx, open.env) {
		result.Warnings = append(result.Warnings, s.note())
	}
	return result, desired.Gate, nil
}

// foresee lets the one place that knows batches say what they mean.
func foresee(s *pipeline.Service, changed []plan.Placed, count int) plan.Outlook {
	instances := make([]strategy.Instance, 0, len(changed))
	for _, p := range changed {
		instances = append(instances, strategy.Instance(p))
	}
	return plan.Outlook(strategy.Foresee(s, instances, count))
}
