package agent

import (
	"errors"
	"time"

	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// recordNewRun writes a run that begins, under a new id.
func (a *Agent) recordNewRun(e *environment, run *journal.Run) error {
	return a.journal.Update("task.begin", func(t *journal.Tx) (err error) {
		if run.ID, err = t.NewRunID(); err != nil {
			return err
		}
		if err := trimRuns(t, e, run.Task); err != nil {
			return err
		}
		return t.PutRun(e.key(), run)
	})
}

// recordRun writes what a run has come to.
func (a *Agent) recordRun(e *environment, run *journal.Run) error {
	return a.journal.Update("task.end", func(t *journal.Tx) error { return t.PutRun(e.key(), run) })
}

// trimRuns forgets the oldest runs of a task.
func trimRuns(t *journal.Tx, e *environment, task string) error {
	var ids []string
	err := t.EachRun(e.key(), func(r journal.Run, _ error) error {
		if r.Task == task { // one that can't be read is of no task that is known
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

// runWithKey returns the newest run with a key that has ended; nil for none. One
// that can't be read and may still run is a fault: nothing is run twice.
func (a *Agent) runWithKey(e *environment, key string) (found *journal.Run, err error) {
	if key == "" {
		return nil, nil
	}
	unreadable := map[string]bool{}
	err = a.journal.View(func(t *journal.Tx) error {
		return t.EachRun(e.key(), func(r journal.Run, fault error) error {
			switch {
			case fault != nil:
				unreadable[r.ID] = true
			case r.Key == key && r.Done() && !cutByOlder(&r):
				found = &r
			}
			return nil
		})
	})
	if err != nil || found != nil {
		return found, err
	}
	for _, c := range a.containersOf(e) {
		if id := c.Spec.Labels[runtime.LabelTaskRun]; unreadable[id] {
			return nil, api.Errorf(api.CodeConflict, "run %s of %s may be the one that is asked for: its record can't be read, and its container %s is there", id, e.name, c.Spec.Name)
		}
	}
	return nil, nil
}

// cutByOlder says that an older agent ended a run with itself: it kept the key,
// and no exit code.
func cutByOlder(r *journal.Run) bool {
	return r.Deployment == "" && r.ExitCode == 0 && r.Reason != ""
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
