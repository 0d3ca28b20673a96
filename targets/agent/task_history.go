package agent

import (
	"context"
	"errors"
	"time"

	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// recordTask writes a run, under a new id where it has none.
func (a *Agent) recordTask(e *environment, id string, run *journal.Run) (_ string, err error) {
	err = a.journal.Update("task", func(t *journal.Tx) error {
		if id == "" {
			if id, err = t.NewRunID(); err != nil {
				return err
			}
			if err := trimRuns(t, e, run.Task); err != nil {
				return err
			}
		}
		run.ID = id
		return t.PutRun(e.key(), run)
	})
	return id, err
}

// trimRuns forgets the oldest runs of a task.
func trimRuns(t *journal.Tx, e *environment, task string) error {
	var ids []string
	err := t.EachRun(e.key(), func(r journal.Run) error {
		if r.Task == task {
			ids = append(ids, r.ID)
		}
		return nil
	})
	for len(ids) >= mostTaskRuns {
		err = errors.Join(err, t.DeleteRun(e.key(), ids[0]))
		ids = ids[1:]
	}
	return err
}

// taskRun returns the newest run that matches, or nil.
func (a *Agent) taskRun(e *environment, matches func(*journal.Run) bool) (found *api.TaskRun, err error) {
	err = a.journal.View(func(t *journal.Tx) error {
		return t.EachRun(e.key(), func(r journal.Run) error {
			if matches(&r) {
				found = &r.TaskRun
			}
			return nil
		})
	})
	return found, err
}

// taskStatuses returns the tasks of the current release with their last runs,
// newest first.
func (a *Agent) taskStatuses(e *environment, limit int) ([]api.TaskStatus, error) {
	out := []api.TaskStatus{}
	w, err := a.releaseFor(e, "", nil)
	if err != nil {
		return nil, err
	}
	for _, task := range w.release.Tasks {
		s := api.TaskStatus{Name: task.Name}
		if runsTasks(w.release, w.Host, task.Name) {
			s.Next = nextRun(&task, time.Now())
		}
		if s.Runs, err = a.taskRuns(e, task.Name, 0); err != nil {
			return nil, err
		}
		if limit >= 0 && len(s.Runs) > limit {
			s.Runs = s.Runs[:limit]
		}
		out = append(out, s)
	}
	return out, nil
}

// endTasks ends the runs that a crash of the agent has interrupted, of tasks
// and by hand: their output has no reader and their time no bound any more.
func (a *Agent) endTasks(ctx context.Context) error {
	for _, c := range a.parts.Containers.List() {
		if !runsOnce(c) {
			continue
		}
		a.start(ctx, func(ctx context.Context) {
			e := a.environmentOf(c.Spec.Labels[runtime.LabelProject], c.Spec.Labels[runtime.LabelEnvironment])
			if err := a.endTask(ctx, e, c); err != nil {
				a.log.Error("ending a run that was interrupted", "container", c.Spec.Name, "error", err)
			}
		})
	}
	return a.endRuns()
}

// endTask takes the container of a run away; what it wrote is kept.
func (a *Agent) endTask(ctx context.Context, e *environment, c runtime.Container) error {
	stopped := a.parts.Containers.Stop(ctx, c.ID)
	if err := a.keepTaskLog(e, c); err != nil {
		a.log.Warn("keeping the output of a task", "container", c.Spec.Name, "error", err)
	}
	return errors.Join(stopped, a.parts.Containers.Remove(ctx, c.ID))
}

// endRuns writes the end of runs that were under way. Their keys may be used
// again.
func (a *Agent) endRuns() error {
	return a.journal.Update("task.interrupted", func(t *journal.Tx) error {
		interrupted := map[string][]journal.Run{}
		err := t.AllRuns(func(project, environment string, r journal.Run, fault error) error {
			switch {
			case fault != nil:
				a.log.Error("a run of a task is broken; it is left as it is", "error", fault)
			case r.Ended.IsZero():
				key := journal.Key(project, environment)
				interrupted[key] = append(interrupted[key], r)
			}
			return nil
		})
		for key, runs := range interrupted {
			for _, r := range runs {
				r.Ended, r.ExitCode, r.Reason, r.Key = time.Now().Round(0), 137, "the agent was restarted while it ran", ""
				err = errors.Join(err, t.PutRun(key, &r))
			}
		}
		return err
	})
}
