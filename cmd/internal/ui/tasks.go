package ui

import (
	"fmt"
	"io"
	"time"

	"dray/deploy/environment"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// PrintTasks lists tasks with their last runs. partly: some hosts could not be
// asked.
func PrintTasks(w io.Writer, env string, tasks []environment.Task, partly bool) error {
	if len(tasks) == 0 {
		_, err := fmt.Fprintf(w, "%s has no tasks.\n", env)
		return err
	}
	return taskTable(tasks, partly).Print(w)
}

// taskTable lists tasks. Where hosts could not be asked, one without runs may have
// some.
func taskTable(tasks []environment.Task, partly bool) *Table {
	none := "never"
	if partly {
		none = "not known"
	}
	list := &Table{Header: []string{"TASK", "NEXT", "RUN", "LAST RUN", "RELEASE", "BY", "RESULT", "TOOK", "HOST"}, Spare: []string{"HOST", "BY", "TOOK", "NEXT"}}
	for _, t := range tasks {
		addTask(list, t, none)
	}
	return list
}

// addTask adds a task: a row for each of its last runs, or one that says none.
func addTask(list *Table, t environment.Task, none string) {
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
		list.Add(t.Name, next, environment.RunNumber(r.ID), r.Started.Local().Format(time.DateTime), r.ReleaseNumber().String(), r.Trigger, result, took, r.Host)
	}
}

// RunText says when a run was, why, and how it ended.
func RunText(r *environment.FoundRun, env string) string {
	by, why := who(r.Actor), ""
	switch r.Trigger {
	case api.TaskBySchedule:
		why = "by its schedule"
	case api.TaskByHook:
		why = "by the rollout of " + by
	default:
		why = "by " + by
	}
	head := fmt.Sprintf("%s in %s: run %s on %s, release %s, started %s %s", r.Task, env, environment.RunNumber(r.ID), r.Host, r.ReleaseNumber(),
		r.Started.Local().Format(time.DateTime), why)
	switch {
	case r.Ended.IsZero():
		return head + ", is running"
	case r.TimedOut, r.Reason != "":
		return head + ": " + r.Reason
	}
	return fmt.Sprintf("%s, ended after %s with exit code %d", head, phrase.Seconds(r.Ended.Sub(r.Started).Seconds()), r.ExitCode)
}
