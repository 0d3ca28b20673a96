package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/pipeline/run"
)

func deployCommand(a *app) *cobra.Command {
	var r rollout
	var planFile string
	cmd := &cobra.Command{
		Use:   "deploy ENV",
		Short: "Build, and bring the release to an environment",
		Long: `deploy builds what the environment runs and brings it to all of its hosts, or to
none. An environment behind a promotion gate takes only what its gate lets in.

With --plan it does exactly what dray plan ENV --out FILE kept, or refuses
because the hosts, the file or the images have moved since (exit code 5).`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.walk(a, cmd, args, "deploy "+args[0], func(runner *run.Runner) (event.Event, error) {
				if planFile != "" {
					if len(r.skip) > 0 {
						return event.Event{}, errors.New("--plan and --skip-host exclude each other: a plan is of all hosts")
					}
					var err error
					if runner.Planned, err = readPlan(planFile, runner.Project.Name, args[0]); err != nil {
						return event.Event{}, err
					}
				}
				done, err := runner.Deploy(cmd.Context(), args[0])
				return ui.Conclusion(err, done), err
			})
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&planFile, "plan", "", "do exactly what this file of dray plan --out says, or refuse")
	return cmd
}

// rollout are the flags of the verbs that bring a release somewhere.
type rollout struct {
	skip    []string
	approve bool
	proceed bool
}

func (r *rollout) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&r.skip, "skip-host", nil, "leave a host out; history says so")
	cmd.Flags().BoolVar(&r.proceed, "continue", false, "let healthy canaries go on without asking")
	cmd.Flags().BoolVar(&r.approve, "approve", false, "approve what asks for approval, as the one who runs this")
}

// walk opens the project, lets do walk the stages of these environments, and
// says how it ended.
func (r *rollout) walk(a *app, cmd *cobra.Command, envs []string, what string, do func(*run.Runner) (event.Event, error)) error {
	p, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	defer p.close()
	for _, name := range envs {
		if _, err := p.environment(name); err != nil {
			return err
		}
	}
	if err := r.skippable(p, envs); err != nil {
		return err
	}
	p.begin(what)
	a.changes.Store(true)
	runner := p.runner()
	runner.Skip = r.skip
	runner.Approve = a.approver(r.approve)
	runner.Continue = a.continuer(r.proceed)
	began := time.Now()
	end, err := do(runner)
	var unattended *deploy.UnattendedError
	if errors.As(err, &unattended) {
		again := strings.Join(append(ui.Retyped(os.Args, nil), "--continue"), " ")
		return pipeline.WithHint(err, pipeline.Hint{Next: again + ", or auto_promote = true in its update block"})
	}
	if err != nil {
		return err
	}
	end.Took = time.Since(began).Seconds()
	if len(r.skip) > 0 {
		end.Text += " Left out: " + phrase.List(r.skip) + "."
	}
	end.Text += fmt.Sprintf(" %s.", phrase.Seconds(end.Took))
	r.tellLeft(cmd.Context(), p, envs, &end)
	a.finish(end)
	return nil
}

// tellLeft says what still runs on hosts that were taken out of the environments
// which have been changed.
func (r *rollout) tellLeft(ctx context.Context, p *project, envs []string, end *event.Event) {
	p.onlyLook() // nothing is brought to a host from here on
	if envs = envs[max(len(envs)-1, 0):]; len(envs) == 0 {
		envs = environmentNames(p.spec)
	}
	for _, name := range envs {
		for _, s := range p.environments.OrphansOf(ctx, p.spec.Environment(name)) {
			end.Text += "\n! " + s.Note()
		}
	}
}

// skippable refuses to leave out hosts that the environments, or those of a ship,
// don't have, or all hosts of the one that would be changed.
func (r *rollout) skippable(p *project, envs []string) error {
	changed, where := environmentNames(p.spec), ""
	if len(envs) > 0 {
		changed = envs[len(envs)-1:] // what is promoted from is only asked
		where = "in " + changed[0]
	}
	var hosts []string
	for _, name := range changed {
		env := p.spec.Environment(name)
		if !slices.ContainsFunc(env.Hosts, func(h string) bool { return !slices.Contains(r.skip, h) }) {
			f := failure("--skip-host leaves out all hosts of "+name+": "+phrase.List(env.Hosts), "leave out fewer")
			f.Environment = name
			return &exitError{code: exitFailed, failure: f}
		}
		hosts = append(hosts, env.Hosts...)
	}
	slices.Sort(hosts)
	for _, name := range r.skip {
		if !slices.Contains(hosts, name) {
			return &pipeline.UnknownError{Kind: "host", Name: name, Where: where, Declared: slices.Compact(hosts)}
		}
	}
	return nil
}

func promoteCommand(a *app) *cobra.Command {
	var r rollout
	cmd := &cobra.Command{
		Use:   "promote [FROM] TO",
		Short: "Bring what one environment runs to the next: the same digests",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := "", args[len(args)-1]
			if len(args) == 2 {
				from = args[0]
			}
			return r.walk(a, cmd, args, "promote "+strings.Join(args, " → "), func(runner *run.Runner) (event.Event, error) {
				done, err := runner.Promote(cmd.Context(), from, to)
				return ui.Conclusion(err, done), err
			})
		},
	}
	r.flags(cmd)
	return cmd
}

func shipCommand(a *app) *cobra.Command {
	var r rollout
	cmd := &cobra.Command{
		Use:   "ship",
		Short: "Build once, then every environment in order, up to the first gate",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.walk(a, cmd, nil, "ship", func(runner *run.Runner) (event.Event, error) {
				done, gate, err := runner.Ship(cmd.Context())
				if err != nil && len(done) > 0 {
					return event.Event{}, &ui.PartlyShipped{Done: done, Err: err}
				}
				end := ui.Conclusion(err, done...)
				if gate != nil {
					end.Text += fmt.Sprintf("\n%s waits:\n  - %s\n", gate.Environment, strings.Join(gate.Reasons, "\n  - "))
					end.Next = gate.Next
				}
				return end, err
			})
		},
	}
	r.flags(cmd)
	return cmd
}

func rollbackCommand(a *app) *cobra.Command {
	var r rollout
	var noVerify bool
	cmd := &cobra.Command{
		Use:   "rollback ENV [RELEASE]",
		Short: "Go back to the last stable release, or to a named one",
		Long: `rollback brings an older release back, with its images, configuration and
secrets, from what the hosts have kept: nothing is built and no registry is
asked. Its instances go onto the hosts that the environment has today; a host
that was added since gets it from the others. What can't go onto them is
refused before anything changes. 42 is the newest kept revision of release 42 that does not run; 42.1 and
42.0 are that one. Where a release failed and is held (auto_revert = false),
rollback without a number goes back from it to the release before.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := run.Back{NoVerify: noVerify}
			if len(args) == 2 {
				var err error
				if to.Release, to.Exact, err = pipeline.ParseReleaseNumber(args[1]); err != nil {
					return noNumber(err, "dray history "+args[0])
				}
			}
			return r.walk(a, cmd, args[:1], "rollback "+args[0], func(runner *run.Runner) (event.Event, error) {
				done, err := runner.Rollback(cmd.Context(), args[0], to)
				return ui.Conclusion(err, done), err
			})
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&noVerify, "no-verify", false, "do not run the environment's verify commands, which belong to the newer release")
	return cmd
}

// noNumber is the failure of an argument that is no release.
func noNumber(err error, next string) error {
	return &exitError{code: exitFailed, failure: failure(err.Error(), next)}
}

// failure is a failure in words, with the next step.
func failure(text, next string) event.Event {
	return event.Event{Version: event.Version, Type: event.Failure, Time: time.Now(), Text: text, Next: next, Conclusion: "Nothing was changed.", Code: exitFailed}
}
