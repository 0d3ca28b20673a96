package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dray/targets/api"
	"dray/targets/runtime"
)

// recordTask writes a run, under a new id where it has none.
func (a *Agent) recordTask(e *environment, id string, run *taskRecord) (string, error) {
	err := a.db.update("task", func(t *transaction) error {
		if id == "" {
			n, err := t.bucket(bucketTasks).NextSequence()
			if err != nil {
				return err
			}
			id = fmt.Sprintf("%08d", n)
			if err := t.trimRuns(e, run.Task); err != nil {
				return err
			}
		}
		run.ID = id
		return t.put(bucketTasks, e.key()+"/"+id, run)
	})
	return id, err
}

// trimRuns forgets the oldest runs of a task.
func (t *transaction) trimRuns(e *environment, task string) error {
	var keys []string
	err := eachOf(t, bucketTasks, e.key()+"/", func(key string, r taskRecord) error {
		if r.Task == task {
			keys = append(keys, key)
		}
		return nil
	})
	for len(keys) >= mostTaskRuns {
		err = errors.Join(err, t.delete(bucketTasks, keys[0]))
		keys = keys[1:]
	}
	return err
}

// taskRun returns the newest run that matches, or nil.
func (a *Agent) taskRun(e *environment, matches func(*taskRecord) bool) (found *api.TaskRun, err error) {
	err = a.db.view(func(t *transaction) error {
		return eachOf(t, bucketTasks, e.key()+"/", func(_ string, r taskRecord) error {
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
	interrupted := map[string]taskRecord{}
	err := a.db.view(func(t *transaction) error {
		return eachOf(t, bucketTasks, "", func(key string, r taskRecord) error {
			if r.Ended.IsZero() {
				interrupted[key] = r
			}
			return nil
		})
	})
	if err != nil || len(interrupted) == 0 {
		return err
	}
	return a.db.update("task.interrupted", func(t *transaction) (err error) {
		for key, r := range interrupted {
			r.Ended, r.ExitCode, r.Reason, r.Key = time.Now().Round(0), 137, "the agent was restarted while it ran", ""
			err = errors.Join(err, t.put(bucketTasks, key, r))
		}
		return err
	})
}
