package environment

import (
	"context"
	"errors"
	"slices"
	"time"

	"dray/deploy"
	"dray/pipeline"
	"dray/targets/api"
)

// TaskHost connects to the host that a task of an environment runs on: the one
// that its schedule and its hooks use. The release that runs says which; where
// none runs, or no host can tell, it is the first by name.
func (o *Opener) TaskHost(ctx context.Context, env *pipeline.Environment, task string) (*deploy.Host, error) {
	names := slices.Sorted(slices.Values(env.Hosts))
	at := names[0]
	for _, name := range names {
		h, err := o.Reach(ctx, env.Name, name)
		if err != nil {
			continue
		}
		state, err := h.Client.Environment(o.Project.Name, env.Name).Get(ctx)
		if err != nil || state.Current == nil {
			continue
		}
		if host := state.Current.TaskHost(task); slices.Contains(names, host) {
			at = host
		}
		break
	}
	h, err := o.Reach(ctx, env.Name, at)
	if err != nil {
		return nil, &deploy.HostError{Host: at, Err: err}
	}
	return h, nil
}

// LastRuns is how many runs of a task its list shows.
const LastRuns = 5

// Task is a task over all hosts.
type Task struct {
	Name string    `json:"name"`
	Next time.Time `json:"next,omitzero"`
	Runs []TaskRun `json:"runs,omitempty"` // newest first
}

// TaskRun is a run of a task on a host.
type TaskRun struct {
	api.TaskRun
	Host string `json:"host"`
}

// Tasks asks all hosts for the tasks of what they run, with their last runs.
func (o *Opener) Tasks(ctx context.Context, env *pipeline.Environment) ([]Task, Silent, error) {
	answers, missed, err := Ask(ctx, o, env, func(ctx context.Context, h *deploy.Host) ([]api.TaskStatus, error) {
		return h.Client.Environment(o.Project.Name, env.Name).Tasks(ctx, LastRuns)
	})
	return mergeTasks(answers), missed, err
}

// StopTask ends the runs of a task that are under way, and says how many those
// were. It fails where a host can't be asked: it may run there.
func (o *Opener) StopTask(ctx context.Context, env *pipeline.Environment, task string) (int, error) {
	answers, missed, err := Ask(ctx, o, env, func(ctx context.Context, h *deploy.Host) (int, error) {
		return EngineOf(h).StopAll(ctx, "dray.project="+o.Project.Name, "dray.environment="+env.Name, "dray.task="+task)
	})
	stopped := 0
	for _, a := range answers {
		stopped += a.Value
	}
	return stopped, errors.Join(err, missed.Err())
}

// TaskNotRun says why a task could not be run on a host: what it runs may have
// none of that name, or not yet.
func (o *Opener) TaskNotRun(ctx context.Context, env *pipeline.Environment, host *deploy.Host, name string, err error) error {
	tasks, _ := host.Client.Environment(o.Project.Name, env.Name).Tasks(ctx, 0) // without them err is what there is to say
	return notRun(env, host.Name, name, tasks, err)
}

// notRun is TaskNotRun for a host whose current release has these tasks.
func notRun(env *pipeline.Environment, host, name string, tasks []api.TaskStatus, err error) error {
	if !isNotFound(err) {
		return &deploy.HostError{Host: host, Err: err}
	}
	if env.Tasks[name] != nil {
		return pipeline.WithHint(err, pipeline.Hint{Environment: env.Name, Conclusion: "Nothing was changed.", Next: "dray deploy " + env.Name + " brings it there"})
	}
	var names []string
	for _, t := range tasks {
		names = append(names, t.Name)
	}
	return &pipeline.UnknownError{Kind: "task", Name: name, Where: "in what " + env.Name + " runs", Declared: names}
}

// mergeTasks joins what hosts say of tasks.
func mergeTasks(answers []Answer[[]api.TaskStatus]) []Task {
	var lines []Task
	for _, told := range answers {
		for _, t := range told.Value {
			i := slices.IndexFunc(lines, func(l Task) bool { return l.Name == t.Name })
			if i < 0 {
				i = len(lines)
				lines = append(lines, Task{Name: t.Name})
			}
			l := &lines[i]
			if l.Next.IsZero() || !t.Next.IsZero() && t.Next.Before(l.Next) {
				l.Next = t.Next
			}
			for _, r := range t.Runs {
				l.Runs = append(l.Runs, TaskRun{r, told.Host.Name})
			}
			slices.SortStableFunc(l.Runs, func(a, b TaskRun) int { return b.Started.Compare(a.Started) })
			l.Runs = l.Runs[:min(LastRuns, len(l.Runs))]
		}
	}
	return lines
}
