package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
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
			p, err := a.openToLook(cmd.Context())
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
	return p.runner().Plan(ctx, name)
}
