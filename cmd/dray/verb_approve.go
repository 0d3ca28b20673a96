package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// confirm asks at the terminal for a word; without a terminal the answer is
// no.
func confirm(question, word string) bool {
	if !atTerminal() {
		return false
	}
	fmt.Fprint(os.Stderr, question)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == word
}

// atTerminal tells whether there is a terminal to ask at.
func atTerminal() bool { return isTerminal(os.Stdin) && isTerminal(os.Stderr) }

// canAsk tells whether somebody can answer a question.
func (a *app) canAsk() bool { return atTerminal() && !a.settings.JSON }

// approver says yes by flag, or asks at the terminal; nil when neither can be.
func (a *app) approver(flag bool) func(string, pipeline.Release) (bool, error) {
	switch {
	case flag:
		return func(string, pipeline.Release) (bool, error) { return true, nil }
	case !a.canAsk():
		return nil
	}
	return func(env string, r pipeline.Release) (bool, error) {
		yes := false
		a.view.Aside(func() {
			yes = confirm(fmt.Sprintf("Release %d waits to enter %s. Type the environment's name to approve it: ", r.Number, env), env)
		})
		return yes, nil
	}
}

// continuer lets a healthy canary go on: by flag, or by a yes at the terminal.
func (a *app) continuer(flag bool) func(context.Context, string) error {
	return func(_ context.Context, reason string) error {
		if flag {
			return nil
		}
		yes := false
		a.view.Aside(func() { yes = confirm(reason+". Type \"go\" to bring the rest: ", "go") })
		if yes {
			return nil
		}
		return fmt.Errorf("%s, but nobody said to go on: answer at the terminal, give --continue, or set auto_promote in its update block", reason)
	}
}

func approveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "approve ENV RELEASE",
		Short: "Say yes to a release entering an environment",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.Atoi(args[1])
			if err != nil || number < 1 {
				return fmt.Errorf("release %q: give its number", args[1])
			}
			return a.onFleet(cmd.Context(), args[0], func(p *project, env *pipeline.Environment, fleet *deploy.Fleet) error {
				if err := p.waits(cmd.Context(), env, number); err != nil {
					return err
				}
				for _, h := range fleet.Hosts() {
					if _, err := h.Client.Environment(p.project.Name, env.Name).Approve(cmd.Context(), api.Approve{Release: number}); err != nil {
						return &deploy.HostError{Host: h.Name, Err: err}
					}
				}
				a.finish(event.Event{Text: fmt.Sprintf("%s approved release %d for %s.", a.actor().User, number, env.Name), Release: number, Next: "dray promote " + env.Name})
				return nil
			})
		},
	}
}

// waits fails unless a release can be approved for an environment: the one
// before runs it.
func (p *project) waits(ctx context.Context, env *pipeline.Environment, number int) error {
	if env.Promotion == nil || !env.Promotion.Approve {
		return &exitError{code: exitFailed, failure: failure(env.Name+" asks for no approval: its promotion block has no approve = true", "")}
	}
	from, err := p.environment(env.Promotion.From)
	if err != nil {
		return err
	}
	running := 0
	for _, h := range p.look(ctx, []*pipeline.Environment{from})[0].Hosts {
		if h.Error != "" {
			return &deploy.HostError{Host: h.Host, Err: errors.New(h.Error)}
		}
		if h.State.Current != nil {
			running = max(running, h.State.Current.Number)
		}
	}
	if running == number {
		return nil
	}
	f := failure(fmt.Sprintf("release %d does not wait for %s: %s runs %s", number, env.Name, from.Name, releaseName(running)), "")
	if running > 0 {
		f.Next = fmt.Sprintf("dray approve %s %d", env.Name, running)
	}
	return &exitError{code: exitFailed, failure: f}
}
