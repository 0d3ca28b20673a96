package journal

import (
	"encoding/json"
	"fmt"
	"strings"

	"dray/targets/api"
)

// Run is one run of a task.
type Run struct {
	api.TaskRun
	Key       string `json:"key,omitempty"` // whoever asks again with it gets this run
	Container string `json:"container,omitempty"`
}

// NewRunID returns an id that no run has had. Ids sort by age.
func (t *Tx) NewRunID() (string, error) {
	n, err := t.bucket(bucketTasks).NextSequence()
	return fmt.Sprintf("%08d", n), err
}

// PutRun keeps a run under its ID.
func (t *Tx) PutRun(environment string, r *Run) error {
	return t.put(bucketTasks, environment+"/"+r.ID, r)
}

// DeleteRun forgets a run.
func (t *Tx) DeleteRun(environment, id string) error {
	return t.delete(bucketTasks, environment+"/"+id)
}

// EachRun calls visit for the runs of an environment, oldest first.
func (t *Tx) EachRun(environment string, visit func(r Run) error) error {
	return eachOf(t, bucketTasks, environment+"/", func(_ string, r Run) error { return visit(r) })
}

// AllRuns calls visit for the runs of all environments, with the fault of one
// whose record can't be read.
func (t *Tx) AllRuns(visit func(project, environment string, r Run, fault error) error) error {
	return t.each(bucketTasks, "", func(key string, raw []byte) error {
		words := strings.SplitN(key, "/", 3)
		if len(words) != 3 {
			return visit("", "", Run{}, fmt.Errorf("reading a run of a task: %q is not its key", key))
		}
		var r Run
		err := json.Unmarshal(raw, &r)
		if err != nil {
			r = Run{TaskRun: api.TaskRun{ID: words[2]}}
			err = fmt.Errorf("reading run %s: %w", key, err)
		}
		return visit(words[0], words[1], r, err)
	})
}
