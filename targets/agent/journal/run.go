package journal

import (
	"encoding/json"
	"fmt"
	"strings"

	"dray/pipeline"
	"dray/targets/api"
)

// Run is one run of a task. It holds all that an agent needs to take it up that
// did not start it.
type Run struct {
	api.TaskRun
	Key        string            `json:"key,omitempty"`        // whoever asks again with it gets this run
	Deployment string            `json:"deployment,omitempty"` // whose release it is of
	Fence      uint64            `json:"fence,omitempty"`      // of the lease that it ends with; 0: with none
	Timeout    pipeline.Duration `json:"timeout,omitempty"`    // from Started on; 0: none
}

// Done says that the run has come to an end.
func (r *Run) Done() bool { return !r.Ended.IsZero() }

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

// EachRun calls visit for the runs of an environment, oldest first, with the
// fault of one whose record can't be read: such a run has its ID alone.
func (t *Tx) EachRun(environment string, visit func(r Run, fault error) error) error {
	return t.eachRun(environment+"/", func(_ string, r Run, fault error) error { return visit(r, fault) })
}

// AllRuns calls visit for the runs of all environments, likewise.
func (t *Tx) AllRuns(visit func(project, environment string, r Run, fault error) error) error {
	return t.eachRun("", func(key string, r Run, fault error) error {
		project, rest, _ := strings.Cut(key, "/")
		environment, _, _ := strings.Cut(rest, "/")
		return visit(project, environment, r, fault)
	})
}

func (t *Tx) eachRun(prefix string, visit func(key string, r Run, fault error) error) error {
	return t.each(bucketTasks, prefix, func(key string, raw []byte) error {
		var r Run
		err := json.Unmarshal(raw, &r)
		if err != nil {
			r = Run{TaskRun: api.TaskRun{ID: key[strings.LastIndexByte(key, '/')+1:]}}
			err = fmt.Errorf("reading run %s: %w", key, err)
		}
		return visit(key, r, err)
	})
}
