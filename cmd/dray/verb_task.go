package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

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
				on := h.Client.Environment(p.project.Name, env.Name)
				run, err := on.RunTask(cmd.Context(), args[1], api.RunTask{Actor: a.actor(), Command: args[2:]}, show)
				if err != nil && cmd.Context().Err() != nil {
					return goesOn(env.Name, h.Name, args[1])
				}
				if err != nil {
					tasks, _ := on.Tasks(cmd.Context(), 0) // without them err is what there is to say
					return notRun(env, h.Name, args[1], tasks, err)
				}
				if run.TimedOut || run.ExitCode != 0 {
					failed := failure(fmt.Sprintf("task %s on %s: %s", args[1], h.Name, cmp.Or(run.Reason, fmt.Sprintf("exit code %d", run.ExitCode))), fmt.Sprintf("dray logs %s %s --run %s shows its output again", env.Name, args[1], number(run.ID)))
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
				answers, missed, err := ask(cmd.Context(), p, env, func(ctx context.Context, h *deploy.Host) (int, error) {
					return environment.EngineOf(h).StopAll(ctx, "dray.project="+p.project.Name, "dray.environment="+env.Name, "dray.task="+args[1])
				})
				if err != nil {
					return err
				}
				if len(missed) > 0 {
					return missed.Err() // it may run there
				}
				stopped := 0
				for _, a := range answers {
					stopped += a.Value
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

// notRun says why a task could not be run on a host, whose current release has
// these: it may have none of that name, or not yet.
func notRun(env *pipeline.Environment, host, name string, tasks []api.TaskStatus, err error) error {
	var refused *api.Error
	if !asError(err, &refused) || refused.Code != api.CodeNotFound {
		return &deploy.HostError{Host: host, Err: err}
	}
	if env.Tasks[name] != nil {
		f := failure(err.Error(), "dray deploy "+env.Name+" brings it there")
		f.Environment = env.Name
		return &exitError{code: exitFailed, failure: f}
	}
	var names []string
	for _, t := range tasks {
		names = append(names, t.Name)
	}
	return unknown("task", name, "in what "+env.Name+" runs", names)
}

func taskListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list ENV",
		Short: "The tasks of an environment, with their last runs",
		Long:  "list shows the tasks of an environment with their last runs. What a run wrote is\nshown by dray logs ENV TASK --run RUN.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				answers, missed, err := ask(cmd.Context(), p, env, func(ctx context.Context, h *deploy.Host) ([]api.TaskStatus, error) {
					return h.Client.Environment(p.project.Name, env.Name).Tasks(ctx, lastRuns)
				})
				if err != nil {
					return err
				}
				tasks := mergeTasks(answers)
				defer a.tellSilent(env, missed)
				return results(a, tasks, func(w io.Writer) error { return printTasks(w, env.Name, tasks, len(missed) > 0) })
			})
		},
	}
}

// lastRuns is how many runs of a task its list shows.
const lastRuns = 5

// taskLine is a task over all hosts.
type taskLine struct {
	Name string    `json:"name"`
	Next time.Time `json:"next,omitzero"`
	Runs []taskRun `json:"runs,omitempty"` // newest first
}

type taskRun struct {
	api.TaskRun
	Host string `json:"host"`
}

// mergeTasks joins what hosts say of tasks.
func mergeTasks(answers []answer[[]api.TaskStatus]) []taskLine {
	var lines []taskLine
	for _, told := range answers {
		for _, t := range told.Value {
			i := slices.IndexFunc(lines, func(l taskLine) bool { return l.Name == t.Name })
			if i < 0 {
				i = len(lines)
				lines = append(lines, taskLine{Name: t.Name})
			}
			l := &lines[i]
			if l.Next.IsZero() || !t.Next.IsZero() && t.Next.Before(l.Next) {
				l.Next = t.Next
			}
			for _, r := range t.Runs {
				l.Runs = append(l.Runs, taskRun{r, told.Host.Name})
			}
			slices.SortStableFunc(l.Runs, func(a, b taskRun) int { return b.Started.Compare(a.Started) })
			l.Runs = l.Runs[:min(lastRuns, len(l.Runs))]
		}
	}
	return lines
}

func printTasks(w io.Writer, env string, tasks []taskLine, partly bool) error {
	if len(tasks) == 0 {
		_, err := fmt.Fprintf(w, "%s has no tasks.\n", env)
		return err
	}
	return taskTable(tasks, partly).Print(w)
}

// taskTable lists tasks. Where hosts could not be asked, one without runs may have
// some.
func taskTable(tasks []taskLine, partly bool) *ui.Table {
	none := "never"
	if partly {
		none = "not known"
	}
	list := &ui.Table{Header: []string{"TASK", "NEXT", "RUN", "LAST RUN", "RELEASE", "BY", "RESULT", "TOOK", "HOST"}, Spare: []string{"HOST", "BY", "TOOK", "NEXT"}}
	for _, t := range tasks {
		addTask(list, t, none)
	}
	return list
}

// addTask adds a task: a row for each of its last runs, or one that says none.
func addTask(list *ui.Table, t taskLine, none string) {
	next := "-"
	if !t.Next.IsZero() {
		next = t.Next.Local().Format(time.DateTime)
	}
	if len(t.Runs) == 0 {
		list.Add(t.Name, next, "", none)
	}
	for _, r := range t.Runs {
		result := "ok"
		switch {
		case r.Ended.IsZero():
			result = "running"
		case r.TimedOut:
			result = "timed out"
		case r.Started.Equal(r.Ended):
			result = "skipped"
		case r.ExitCode != 0:
			result = fmt.Sprintf("exit code %d", r.ExitCode)
		}
		took := "-"
		if !r.Ended.IsZero() {
			took = phrase.Seconds(r.Ended.Sub(r.Started).Seconds())
		}
		list.Add(t.Name, next, number(r.ID), r.Started.Local().Format(time.DateTime), r.ReleaseNumber().String(), r.Trigger, result, took, r.Host)
	}
}
