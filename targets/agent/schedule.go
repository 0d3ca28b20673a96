package agent

import (
	"context"
	"fmt"
	"time"
	_ "time/tzdata" // many small hosts have none

	"dray/pipeline"
	"dray/pipeline/cron"
	"dray/pipeline/event"
	"dray/targets/agent/journal"
	"dray/targets/api"
	"dray/targets/runtime"
)

// What happens when a task's time comes while its last run goes on.
const (
	overlapReplace = "replace"
	overlapAllow   = "allow"
)

// longestSleep bounds how long the schedule trusts the host's clock: one that
// is set meanwhile is noticed within it.
const longestSleep = time.Minute

// longestBoot bounds how long tasks wait for services after a boot.
const longestBoot = 2 * time.Minute

// timetable is when a task runs: a schedule, read in the task's time zone.
type timetable struct {
	schedule *cron.Schedule
	zone     *time.Location
}

// timetableOf reads a task's schedule; ok is false where it has none.
func timetableOf(t *pipeline.Task) (p timetable, ok bool) {
	if t.Schedule == "" {
		return timetable{}, false
	}
	zone, zoneErr := time.LoadLocation(t.TimeZone) // "" is UTC
	schedule, err := cron.Parse(t.Schedule)
	return timetable{schedule, zone}, err == nil && zoneErr == nil
}

// nextRun returns when a task's schedule runs it after a time; zero for never.
func nextRun(t *pipeline.Task, after time.Time) time.Time {
	p, ok := timetableOf(t)
	if !ok {
		return time.Time{}
	}
	return p.schedule.Next(after, p.zone)
}

// runSchedules starts scheduled tasks of current releases when their time
// comes, once the services that they may need have started. Times that passed
// while the agent was away are not made up for.
func (a *Agent) runSchedules(ctx context.Context, started <-chan struct{}) error {
	var watch cron.Watch
	watch.Look(time.Now())
	select {
	case <-ctx.Done():
	case <-started:
	case <-time.After(longestBoot):
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-a.scheduled:
		}
		now := time.Now()
		next := a.startDue(ctx, watch.Look(now), now)
		timer.Reset(min(max(time.Until(next), 0), longestSleep))
	}
}

// startDue starts the tasks whose time has come in what passed of the clock. It
// returns the next time at which one is due.
func (a *Agent) startDue(ctx context.Context, passed cron.Span, now time.Time) time.Time {
	next := now.Add(longestSleep)
	for _, e := range a.allEnvironments() {
		w, err := a.releaseFor(e, "", nil)
		if err != nil {
			continue // it runs nothing here
		}
		for i := range w.release.Tasks {
			task := w.release.Tasks[i]
			p, ok := timetableOf(&task)
			if !ok || !runsTasks(w.release, w.Host, task.Name) {
				continue
			}
			if p.schedule.Due(passed, w.Ended, p.zone) { // not what passed before the release came
				a.start(ctx, func(ctx context.Context) { a.runScheduled(ctx, e, task) })
			}
			due := p.schedule.Next(now, p.zone)
			if !due.IsZero() && due.Before(next) {
				next = due
			}
		}
	}
	return next
}

// runScheduled runs one task once.
func (a *Agent) runScheduled(ctx context.Context, e *environment, task pipeline.Task) {
	w, err := a.releaseFor(e, "", event.Discard)
	if err != nil {
		return
	}
	run := newRun(w, &task)
	run.Trigger, run.Actor = api.TaskBySchedule, api.Actor{User: "dray", Command: "schedule"}
	if wait, err := a.overlap(ctx, w, &task, run); err != nil || wait {
		if err != nil {
			a.log.Error("a scheduled task", "task", task.Name, "environment", e.key(), "error", err)
		}
		return
	}
	result, err := a.runOnce(ctx, w, &task, run, 0)
	if ctx.Err() == nil && (err != nil || result.ExitCode != 0) {
		a.log.Warn("a scheduled task failed", "task", task.Name, "environment", e.key(), "error", err, "exit", run.ExitCode, "reason", run.Reason)
	}
}

// overlap settles what a run that still goes on means for the next one.
func (a *Agent) overlap(ctx context.Context, w *work, task *pipeline.Task, run *journal.Run) (skip bool, err error) {
	var running []runtime.Container
	for _, c := range a.containersOf(w.e) {
		if c.Spec.Labels[runtime.LabelTask] == task.Name && runs(c) {
			running = append(running, c)
		}
	}
	if len(running) == 0 || task.Overlap == overlapAllow {
		return false, nil
	}
	if task.Overlap == overlapReplace {
		for _, c := range running {
			if err := a.parts.Containers.Stop(ctx, c.ID); err != nil {
				return false, fmt.Errorf("stopping the run before: %w", err)
			}
		}
		return false, nil
	}
	run.Started = time.Now().Round(0)
	run.Ended, run.Reason = run.Started, "skipped: the run before had not ended"
	return true, a.recordNewRun(w.e, run)
}

// scheduleChanged has the schedule looked at again.
func (a *Agent) scheduleChanged() {
	select {
	case a.scheduled <- struct{}{}:
	default:
	}
}
