package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// mostTaskOutput is how many bytes the kept output of one task's runs may
// take: about what the log of one container may. The newest run's is always
// kept whole. Beside it, the output of a run goes with its record.
const mostTaskOutput = 32 << 20

// taskLogs is where the output of an environment's tasks is kept:
// STATE/tasks/NETWORK/TASK/RUN/.
func (a *Agent) taskLogs(e *environment) string {
	return filepath.Join(a.state, "tasks", e.network())
}

// keepTaskLog keeps what a run wrote, whose container is about to be removed,
// and drops the output of older ones that is too much.
func (a *Agent) keepTaskLog(e *environment, c runtime.Container) error {
	task, run := c.Spec.Labels[runtime.LabelTask], c.Spec.Labels[runtime.LabelTaskRun]
	if run == "" {
		return nil // an older agent made it
	}
	folder := filepath.Join(a.taskLogs(e), task)
	if err := a.parts.Logs.Keep(c.ID, filepath.Join(folder, run)); err != nil {
		return err
	}
	known, err := a.taskRuns(e, task, 0)
	if err != nil {
		return err
	}
	return dropTaskOutput(folder, known, mostTaskOutput)
}

// dropTaskOutput removes the output of runs that are not known any more, and
// of the oldest ones while there are more than most bytes.
func dropTaskOutput(folder string, known []api.TaskRun, most int64) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	slices.Reverse(entries) // ids sort by age
	sum := int64(0)
	for i, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		sum += folderSize(path)
		remembered := slices.ContainsFunc(known, func(r api.TaskRun) bool { return r.ID == entry.Name() })
		if !remembered || i > 0 && sum > most {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// folderSize counts the bytes of a folder's files. One that vanishes meanwhile
// counts as nothing.
func folderSize(path string) (sum int64) {
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// taskRuns returns the last limit runs of a task, newest first; 0 is all.
func (a *Agent) taskRuns(e *environment, task string, limit int) ([]api.TaskRun, error) {
	runs := []api.TaskRun{}
	err := a.journal.View(func(t *journal.Tx) error {
		return t.EachRun(e.key(), func(r journal.Run, _ error) error {
			if r.Task == task {
				runs = append(runs, r.TaskRun)
			}
			return nil
		})
	})
	slices.Reverse(runs)
	if limit > 0 && len(runs) > limit {
		runs = runs[:limit]
	}
	return runs, err
}

// serveTaskLogs answers with what a run wrote. Unlike other answers it waits
// for its reader, and ends with it: no line may be lost, and nothing is done.
func (a *Agent) serveTaskLogs(w http.ResponseWriter, r *http.Request, e *environment) {
	task, id := r.PathValue("task"), r.PathValue("run")
	query, err := api.LogQueryOf(r)
	var read logReader
	if err == nil {
		read, err = a.findTaskLog(e, task, id)
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", api.ContentStream)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // a client that is gone ends the request's context
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	encoder := json.NewEncoder(w)
	write := func(line api.StreamLine) {
		if err := encoder.Encode(line); err != nil {
			cancel(err)
		}
		if query.Follow {
			_ = flush.Flush() // as above
		}
	}
	err = read(ctx, query, func(at time.Time, stream, text string) {
		write(api.StreamLine{Event: &event.Event{Version: event.Version, Time: at, Type: event.Output, Stage: "task",
			Project: e.project, Environment: e.name, Subject: "task " + task, Stream: stream, Text: text}})
	})
	write(a.endOfTaskLog(e, task, id, err))
}

// logReader passes lines of one program's output on.
type logReader func(ctx context.Context, q api.LogQuery, line func(at time.Time, stream, text string)) error

// findTaskLog finds the output of a run: kept, once it has ended, and in its
// container before. It is kept before the container goes, so looking once more
// misses nothing.
func (a *Agent) findTaskLog(e *environment, task, id string) (logReader, error) {
	for _, word := range []string{task, id} {
		if !validName.MatchString(word) {
			return nil, api.Errorf(api.CodeBadRequest, "%q is not the name of a task or a run", word)
		}
	}
	folder := filepath.Join(a.taskLogs(e), task, id)
	kept := func(ctx context.Context, q api.LogQuery, line func(time.Time, string, string)) error {
		return a.parts.Logs.ReadKept(ctx, folder, q, line)
	}
	for range 2 {
		if _, err := os.Stat(folder); err == nil {
			return kept, nil
		}
		for _, c := range a.containersOf(e) {
			if c.Spec.Labels[runtime.LabelTask] == task && c.Spec.Labels[runtime.LabelTaskRun] == id {
				return func(ctx context.Context, q api.LogQuery, line func(time.Time, string, string)) error {
					return a.parts.Logs.Read(ctx, c.ID, q, line)
				}, nil
			}
		}
	}
	return nil, api.Errorf(api.CodeNotFound, "the output of run %s of task %s in %s is not kept on this host", id, task, e.name)
}

// endOfTaskLog is the last line of the answer: the run as it is now.
func (a *Agent) endOfTaskLog(e *environment, task, id string, fault error) api.StreamLine {
	runs, err := a.taskRuns(e, task, 0)
	i := slices.IndexFunc(runs, func(r api.TaskRun) bool { return r.ID == id })
	if err == nil && i < 0 {
		err = api.Errorf(api.CodeNotFound, "run %s of task %s in %s is not known on this host", id, task, e.name)
	}
	if err = cmp.Or(fault, err); err != nil {
		return api.StreamLine{Error: wireError(err)}
	}
	text, err := json.Marshal(runs[i])
	if err != nil {
		return api.StreamLine{Error: wireError(err)}
	}
	return api.StreamLine{Result: text}
}
