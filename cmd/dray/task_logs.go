package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// foundRun is a run of a task on one host.
type foundRun struct {
	api.TaskRun
	host   string
	client *api.EnvironmentClient
}

// number is a run's id as people write it: 12.
func number(id string) string { return cmp.Or(strings.TrimLeft(id, "0"), "0") }

// taskLogs shows what one run of a task wrote: the newest, the newest of a
// release, or the one that is named.
func (p *project) taskLogs(ctx context.Context, env *pipeline.Environment, task string, o logOptions) error {
	found, missed, err := p.findRuns(ctx, env, task)
	if err != nil {
		return err
	}
	if len(found) == 0 && len(missed) > 0 {
		return missed.Err()
	}
	r, err := chooseRun(found, env.Name, task, o)
	if err != nil {
		return err
	}
	p.app.view.Close()
	p.app.tellSilent(env, missed)
	p.app.remark(r.text(env.Name))
	end, err := r.client.TaskLogs(ctx, task, r.ID, o.query, p.app.lines(r.host, o.times))
	var refused *api.Error
	switch {
	case ctx.Err() != nil:
		return nil // the reader had enough
	case asError(err, &refused) && refused.Code == api.CodeNotFound:
		p.lastWords(r, env.Name)
		return nil
	case err != nil:
		return &deploy.HostError{Host: r.host, Err: err}
	}
	if r.Ended.IsZero() && !end.Ended.IsZero() { // it has ended while it was followed
		r.TaskRun = *end
		p.app.remark(r.text(env.Name))
	}
	return nil
}

// findRuns asks all hosts of an environment for the runs of a task.
func (p *project) findRuns(ctx context.Context, env *pipeline.Environment, task string) ([]foundRun, silent, error) {
	answers, missed, err := ask(ctx, p, env, func(ctx context.Context, h *deploy.Host) ([]foundRun, error) {
		client := h.Client.Environment(p.project.Name, env.Name)
		runs, err := client.TaskRuns(ctx, task, 0)
		if err != nil {
			return nil, olderAgent(err)
		}
		var found []foundRun
		for _, r := range runs {
			found = append(found, foundRun{r, h.Name, client})
		}
		return found, nil
	})
	var found []foundRun
	for _, a := range answers {
		found = append(found, a.Value...)
	}
	slices.SortStableFunc(found, func(a, b foundRun) int { return b.Started.Compare(a.Started) })
	return found, missed, err
}

// olderAgent says what it means that an agent does not know a call.
func olderAgent(err error) error {
	var refused *api.Error
	if asError(err, &refused) && refused.Code == api.CodeNotFound {
		return fmt.Errorf("its agent is older than this dray and can't tell; the next deployment replaces it (%w)", err)
	}
	return err
}

// chooseRun picks the run that is meant: found has the newest first.
func chooseRun(found []foundRun, env, task string, o logOptions) (*foundRun, error) {
	host, id, both := strings.Cut(o.run, "/")
	if !both {
		host, id = "", o.run
	}
	var matching []foundRun
	for _, r := range found {
		if (id == "" || number(id) == number(r.ID)) && (host == "" || host == r.host) && (!o.release.Known() || o.release == r.ReleaseNumber()) {
			matching = append(matching, r)
		}
	}
	if len(matching) == 0 {
		text := fmt.Sprintf("task %s has not run in %s", task, env)
		switch {
		case o.run != "":
			text = fmt.Sprintf("no run %s of task %s is known in %s", o.run, task, env)
		case o.release.Known():
			text += fmt.Sprintf(" for release %s", o.release)
		}
		f := failure(text, "dray task list "+env)
		f.Conclusion = ""
		return nil, &exitError{code: exitFailed, failure: f}
	}
	if id != "" && len(matching) > 1 {
		var names []string
		for _, r := range matching {
			names = append(names, r.host+"/"+number(r.ID))
		}
		return nil, fmt.Errorf("run %s of task %s is on several hosts: write --run %s", o.run, task, strings.Join(names, " or --run "))
	}
	return &matching[0], nil
}

// text says when a run was, why, and how it ended.
func (r *foundRun) text(env string) string {
	who, why := r.Actor.User+"@"+r.Actor.Machine, ""
	switch r.Trigger {
	case api.TaskBySchedule:
		why = "by its schedule"
	case api.TaskByHook:
		why = "by the rollout of " + who
	default:
		why = "by " + who
	}
	head := fmt.Sprintf("%s in %s: run %s on %s, release %s, started %s %s", r.Task, env, number(r.ID), r.host, r.ReleaseNumber(),
		r.Started.Local().Format(time.DateTime), why)
	switch {
	case r.Ended.IsZero():
		return head + ", is running"
	case r.TimedOut, r.Reason != "":
		return head + ": " + r.Reason
	}
	return fmt.Sprintf("%s, ended after %s with exit code %d", head, phrase.Seconds(r.Ended.Sub(r.Started).Seconds()), r.ExitCode)
}

// lastWords shows what is left of a run whose output is not kept any more.
func (p *project) lastWords(r *foundRun, env string) {
	for _, line := range r.Logs {
		if p.app.settings.JSON {
			p.app.emit(event.Event{Type: event.Output, Stage: "task", Time: r.Ended, Environment: env, Host: r.host, Subject: "task " + r.Task, Text: line})
			continue
		}
		fmt.Fprintln(p.app.out, line)
	}
	switch {
	case len(r.Logs) > 0:
		p.app.remark("Only its last lines are kept.")
	case r.Started.Equal(r.Ended):
		p.app.remark("It wrote nothing.")
	default:
		p.app.remark("Its output is not kept any more: dray task list " + env + " has newer runs.")
	}
}

// lines prints what a program wrote as it wrote it: each stream to its own.
func (a *app) lines(host string, times bool) event.Sink {
	return event.Func(func(e event.Event) {
		if a.settings.JSON {
			e.Host = host
			a.emit(e)
			return
		}
		out := a.out
		if e.Stream == "stderr" {
			out = a.errOut
		}
		if times {
			_, _ = io.WriteString(out, e.Time.UTC().Format(time.RFC3339Nano)+" ") // a reader that went away is not this run's fault
		}
		_, _ = io.WriteString(out, e.Text+"\n") // as above
	})
}
