package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

func taskCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "task", Short: "Run a task by hand, or see how it went",
		Long: "task runs a task by hand, or lists the last runs. What a run wrote is shown by\ndray logs ENV TASK.",
	}
	cmd.AddCommand(taskRunCommand(a), taskStopCommand(a), taskListCommand(a))
	return cmd
}

func taskRunCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "run ENV NAME [-- COMMAND…]",
		Short:   "Run a task of the current release; its exit code becomes dray's",
		Example: "  dray task run prod migrate\n  dray task run prod migrate -- bin/migrate --dry-run",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				h, err := p.environments.TaskHost(cmd.Context(), env, args[1])
				if err != nil {
					return err
				}
				show := event.Func(func(e event.Event) {
					if e.Type == event.Output && !a.settings.JSON {
						fmt.Fprintln(a.out, e.Text)
						return
					}
					a.view.Emit(e)
				})
				on := h.Client.Environment(p.spec.Name, env.Name)
				run, err := deploy.RunTask(cmd.Context(), h, on, args[1], api.RunTask{Actor: a.actor(), Command: args[2:], Key: rand.Text()}, show)
				if err != nil && cmd.Context().Err() != nil {
					return goesOn(env.Name, h.Name, args[1])
				}
				if err != nil {
					return p.environments.TaskNotRun(cmd.Context(), env, h, args[1], err)
				}
				if run.TimedOut || run.ExitCode != 0 {
					failed := failure(fmt.Sprintf("task %s on %s: %s", args[1], h.Name, cmp.Or(run.Reason, fmt.Sprintf("exit code %d", run.ExitCode))), fmt.Sprintf("dray logs %s %s --run %s shows its output again", env.Name, args[1], environment.RunNumber(run.ID)))
					failed.Conclusion = "The releases are untouched; what the task had done by then stays."
					return &exitError{code: max(run.ExitCode, 1), failure: failed}
				}
				return nil
			})
		},
	}
}

// goesOn is the failure of a run whose watcher was interrupted: the task itself was
// not.
func goesOn(env, host, task string) error {
	f := failure("interrupted", fmt.Sprintf("dray logs %s %s --follow shows what it writes; dray task stop %[1]s %[2]s ends it", env, task))
	f.Environment, f.Conclusion = env, fmt.Sprintf("Task %s goes on, on %s.", task, host)
	return &exitError{code: exitInterrupted, failure: f}
}

func taskStopCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stop ENV NAME",
		Short: "End the runs of a task that are under way",
		Long:  "stop asks the containers of a task that run now to end, as its timeout does: with\na signal first, and then for good.",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				stopped, err := p.environments.StopTask(cmd.Context(), env, args[1])
				if err != nil {
					return err
				}
				text := fmt.Sprintf("No run of task %s is under way in %s.", args[1], env.Name)
				if stopped > 0 {
					text = fmt.Sprintf("Ended %s of task %s in %s.", phrase.Count(stopped, "run"), args[1], env.Name)
				}
				a.finish(event.Event{Text: text, Environment: env.Name})
				return nil
			})
		},
	}
}

func taskListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list ENV",
		Short: "The tasks of an environment, with their last runs",
		Long:  "list shows the tasks of an environment with their last runs. What a run wrote is\nshown by dray logs ENV TASK --run RUN.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				tasks, missed, err := p.environments.Tasks(cmd.Context(), env)
				if err != nil {
					return err
				}
				defer a.tellSilent(env, missed)
				return results(a, tasks, func(w io.Writer) error { return ui.PrintTasks(w, env.Name, tasks, len(missed) > 0) })
			})
		},
	}
}
