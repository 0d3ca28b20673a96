package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dray/deploy"
	"dray/pipeline"
	"dray/targets/api"
)

// FoundRun is a run of a task on one host.
type FoundRun struct {
	api.TaskRun
	Host   string
	Client *api.EnvironmentClient
}

// WantedRun says which run of a task is meant: the newest, the newest of a
// release, or the one that is named.
type WantedRun struct {
	Run     string // 12, or HOST/12
	Release pipeline.ReleaseNumber
}

// RunNumber is a run's id as people write it: 12.
func RunNumber(id string) string { return cmp.Or(strings.TrimLeft(id, "0"), "0") }

// FindRun asks all hosts of an environment for the runs of a task, and picks the
// one that is meant.
func (o *Opener) FindRun(ctx context.Context, env *pipeline.Environment, task string, wanted WantedRun) (*FoundRun, Silent, error) {
	answers, missed, err := Ask(ctx, o, env, func(ctx context.Context, h *deploy.Host) ([]FoundRun, error) {
		client := h.Client.Environment(o.Project.Name, env.Name)
		runs, err := client.TaskRuns(ctx, task, 0)
		if err != nil {
			return nil, OlderAgent(err)
		}
		var found []FoundRun
		for _, r := range runs {
			found = append(found, FoundRun{r, h.Name, client})
		}
		return found, nil
	})
	if err != nil {
		return nil, nil, err
	}
	var found []FoundRun
	for _, a := range answers {
		found = append(found, a.Value...)
	}
	if len(found) == 0 && len(missed) > 0 {
		return nil, nil, missed.Err()
	}
	slices.SortStableFunc(found, func(a, b FoundRun) int { return b.Started.Compare(a.Started) })
	run, err := chooseRun(found, env.Name, task, wanted)
	return run, missed, err
}

// OlderAgent says what it means that an agent does not know a call.
func OlderAgent(err error) error {
	if isNotFound(err) {
		return fmt.Errorf("its agent is older than this dray and can't tell; the next deployment replaces it (%w)", err)
	}
	return err
}

// chooseRun picks the run that is meant: found has the newest first.
func chooseRun(found []FoundRun, env, task string, wanted WantedRun) (*FoundRun, error) {
	host, id, both := strings.Cut(wanted.Run, "/")
	if !both {
		host, id = "", wanted.Run
	}
	var matching []FoundRun
	for _, r := range found {
		if (id == "" || RunNumber(id) == RunNumber(r.ID)) && (host == "" || host == r.Host) && (!wanted.Release.Known() || wanted.Release == r.ReleaseNumber()) {
			matching = append(matching, r)
		}
	}
	if len(matching) == 0 {
		text := fmt.Sprintf("task %s has not run in %s", task, env)
		switch {
		case wanted.Run != "":
			text = fmt.Sprintf("no run %s of task %s is known in %s", wanted.Run, task, env)
		case wanted.Release.Known():
			text += fmt.Sprintf(" for release %s", wanted.Release)
		}
		return nil, pipeline.WithHint(errors.New(text), pipeline.Hint{Next: "dray task list " + env})
	}
	if id != "" && len(matching) > 1 {
		var names []string
		for _, r := range matching {
			names = append(names, r.Host+"/"+RunNumber(r.ID))
		}
		return nil, fmt.Errorf("run %s of task %s is on several hosts: write --run %s", wanted.Run, task, strings.Join(names, " or --run "))
	}
	return &matching[0], nil
}
