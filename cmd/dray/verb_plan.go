package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/pipeline/durable"
	"dray/pipeline/plan"
	"dray/pipeline/run"
)

func planCommand(a *app) *cobra.Command {
	var out string
	var skip []string
	cmd := &cobra.Command{
		Use:   "plan ENV",
		Short: "What a deployment would change, and what has drifted",
		Long: `plan builds what the environment would run, reads its hosts, and shows the
difference. It changes nothing. Exit code 0: nothing to do; 2: there is
something to do; 1: it could not be found out.

With --out the plan is kept: dray deploy ENV --plan FILE does exactly that, or
refuses because the hosts, the file or the images have moved since. The file has
no configuration and no secret in it, only what they come to.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.openToLook(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			result, gate, err := p.plan(cmd.Context(), args[0], skip)
			if err != nil {
				return err
			}
			if gate != nil {
				result.Warnings = append(result.Warnings, "the gate says no for now: "+strings.Join(gate.Reasons, "; "))
			}
			shown := shownPlan{Plan: result, Saved: out}
			if out != "" {
				if err := p.savePlan(result, gate, out); err != nil {
					return err
				}
			}
			if err := a.result(shown, shown.print); err != nil {
				return err
			}
			if result.Pending || result.Paused.Known() {
				return &exitError{code: exitDifferent}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "keep the plan in this file, for dray deploy --plan")
	cmd.Flags().StringSliceVar(&skip, "skip-host", nil, "plan what deploying without this host would change")
	cmd.MarkFlagsMutuallyExclusive("out", "skip-host")
	return cmd
}

// plan compares what env would run with what its hosts run, some left out.
func (p *project) plan(ctx context.Context, name string, skip []string) (*plan.Plan, *run.Refusal, error) {
	if _, err := p.environment(name); err != nil {
		return nil, nil, err
	}
	if err := (&rollout{skip: skip}).skippable(p, []string{name}); err != nil {
		return nil, nil, err
	}
	runner := p.runner()
	runner.Skip = skip
	return runner.Plan(ctx, name)
}

// shownPlan is a plan, and where it was kept.
type shownPlan struct {
	*plan.Plan
	Saved string `json:"saved,omitempty"`
}

func (s shownPlan) print(w io.Writer) error {
	err := s.Render(w, ui.PlanStyle(os.Stdout))
	if err == nil && s.Saved != "" {
		_, err = fmt.Fprintf(w, "dray deploy %s --plan %s does exactly this.\n", s.Environment, s.Saved)
	}
	return err
}

// savePlan keeps a plan in a file.
func (p *project) savePlan(result *plan.Plan, gate *run.Refusal, path string) error {
	if gate != nil && !gate.Release.Known() {
		return fmt.Errorf("nothing can enter %s, so %s was not written: %s", result.Environment, path, strings.Join(gate.Reasons, "; "))
	}
	content, err := result.Save(plan.Made{At: time.Now().UTC(), By: p.app.actor(), Source: p.source()}).Encode()
	if err == nil {
		err = durable.Write(path, content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping the plan in %s: %w", path, err)
	}
	return nil
}

// readPlan reads the plan of an environment that savePlan wrote.
func readPlan(path, project, env string) (*plan.Saved, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	saved, err := plan.Decode(content)
	switch {
	case err != nil:
		err = fmt.Errorf("%s can't be deployed: %w", path, err)
	case saved.Project != project || saved.Environment != env:
		err = fmt.Errorf("%s is a plan of %s in project %s, not of %s in %s", path, saved.Environment, saved.Project, env, project)
	default:
		return saved, nil
	}
	again := fmt.Sprintf("dray plan %s --out %s, look at it, and deploy that one", env, path)
	return nil, &exitError{code: exitFailed, failure: failure(err.Error(), again)}
}
