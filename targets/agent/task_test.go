package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

// withTasks is first with tasks that run on this host.
func withTasks(tasks ...pipeline.Task) api.Release {
	r := first
	r.Images = map[string]api.Image{}
	for name, image := range first.Images {
		r.Images[name] = image
	}
	for _, t := range tasks {
		r.Tasks = append(r.Tasks, t)
		r.Images[taskPrefix+t.Name] = api.Image{Name: "shop/web", Digest: digest(1)}
	}
	return r
}

// endTask ends the containers of a task, as their programs do.
func (w *world) endTask(name string, code int) (ended int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.containers {
		if c.Spec.Labels[runtime.LabelTask] == name && c.State == runtime.Running {
			c.State, c.ExitCode = runtime.Exited, code
			ended++
		}
	}
	return ended
}

func TestTaskByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		release := withTasks(pipeline.Task{Name: "migrate", Timeout: pipeline.Duration(time.Minute)})
		if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Fatal(err)
		}
		for id := range 20 {
			w.logs["c"+string(rune('0'+id))] = []string{"migrating"}
		}
		var printed []string
		sink := event.Func(func(e event.Event) {
			if e.Type == event.Output {
				printed = append(printed, e.Text)
			}
		})
		go func() { time.Sleep(3 * time.Second); w.endTask("migrate", 3) }()
		run, err := r.RunTask(t.Context(), "migrate", api.RunTask{Key: "once"}, sink)
		if err != nil || run.ExitCode != 3 || run.Ended.Sub(run.Started) < 3*time.Second || !slices.Equal(printed, []string{"migrating"}) {
			t.Fatalf("the run: %+v, %v, printed %q", run, err, printed)
		}
		again, err := r.RunTask(t.Context(), "migrate", api.RunTask{Key: "once"}, nil)
		if err != nil || again.ID != run.ID {
			t.Errorf("the same key: %+v, %v; want run %s", again, err, run.ID)
		}
		late, err := r.RunTask(t.Context(), "migrate", api.RunTask{}, nil)
		if err != nil || !late.TimedOut || late.ExitCode == 0 {
			t.Errorf("a run without end: %+v, %v; want it timed out", late, err)
		}
		if _, err := r.RunTask(t.Context(), "other", api.RunTask{}, nil); !isCode(err, api.CodeNotFound) {
			t.Errorf("an unknown task: %v", err)
		}
		tasks, err := r.Tasks(t.Context(), 10)
		if err != nil || len(tasks) != 1 || len(tasks[0].Runs) != 2 || !tasks[0].Runs[0].TimedOut {
			t.Errorf("the history: %+v, %v", tasks, err)
		}
		w.assertRelease(r, 1, release)
	})
}

// TestTaskEndsWithItsDeployment stops a pre-deploy task when the lease ends.
func TestTaskEndsWithItsDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		defer r.stop()
		release := withTasks(pipeline.Task{Name: "migrate", Timeout: pipeline.Duration(time.Hour)})
		release.Number = 2
		s := &sequence{t: t, id: "d2", r: release}
		if err := s.begin(r); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := r.RunTask(t.Context(), "migrate", api.RunTask{Deployment: "d2", Fence: s.fence}, nil)
		if err == nil || time.Since(began) > 25*time.Second {
			t.Errorf("the task ended after %s with %v; want the end of the lease", time.Since(began), err)
		}
		w.assertRelease(r, 1, first)
		for _, c := range w.containers {
			if c.Spec.Labels[runtime.LabelTask] != "" {
				t.Errorf("container %s is left", c.Spec.Name)
			}
		}
	})
}

func TestScheduledTask(t *testing.T) {
	for _, c := range []struct {
		overlap           string
		ran, skipped, now int // after a run that does not end by itself
	}{
		{"", 1, 2, 1}, {overlapAllow, 3, 0, 3}, {overlapReplace, 3, 0, 1},
	} {
		t.Run("overlap "+c.overlap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := w.boot(0)
				defer r.stop()
				release := withTasks(pipeline.Task{Name: "report", Schedule: "0 * * * *", Overlap: c.overlap})
				if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3*time.Hour + time.Minute - time.Duration(time.Now().Minute())*time.Minute)
				synctest.Wait()
				tasks, err := r.Tasks(t.Context(), 10)
				if err != nil {
					t.Fatal(err)
				}
				ran, skipped := 0, 0
				for _, run := range tasks[0].Runs {
					if run.Trigger != api.TaskBySchedule {
						t.Errorf("trigger %s", run.Trigger)
					}
					if run.Started.Equal(run.Ended) {
						skipped++
					} else {
						ran++
					}
				}
				if now := w.endTask("report", 0); ran != c.ran || skipped != c.skipped || now != c.now {
					t.Errorf("%d ran, %d skipped, %d run now; want %d, %d, %d", ran, skipped, now, c.ran, c.skipped, c.now)
				}
				if left := time.Until(tasks[0].Next); left <= 0 || left > time.Hour {
					t.Errorf("the next run is in %s", left)
				}
				time.Sleep(time.Second) // the runs notice their end
			})
		})
	}
}

// TestScheduleBeginsWithTheRelease: a time that has passed when the release came
// is none of its task's.
func TestScheduleBeginsWithTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * time.Second) // the schedule looks in the middle of each minute
		w := newWorld(t)
		r := w.boot(0)
		defer r.stop()
		now := time.Now()
		time.Sleep(now.Truncate(time.Hour).Add(time.Hour + 25*time.Second).Sub(now))
		release := withTasks(pipeline.Task{Name: "report", Schedule: "0 * * * *"})
		if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		tasks, err := r.Tasks(t.Context(), 10)
		if err != nil || len(tasks) != 1 || len(tasks[0].Runs) != 0 {
			t.Errorf("it ran before its time: %+v, %v", tasks, err)
		}
	})
}

// TestNextRun: a schedule is read in its task's time zone; what can't be read
// never runs.
func TestNextRun(t *testing.T) {
	after := time.Date(2026, 11, 22, 2, 30, 0, 0, time.UTC)
	for _, x := range []struct {
		schedule, zone string
		want           time.Duration
	}{{"0 3 * * *", "", 30 * time.Minute}, {"0 4 * * *", "Europe/Berlin", 30 * time.Minute}} {
		if got := nextRun(&pipeline.Task{Schedule: x.schedule, TimeZone: x.zone}, after); !got.Equal(after.Add(x.want)) {
			t.Errorf("%s in %q: %s", x.schedule, x.zone, got)
		}
	}
	for _, task := range []pipeline.Task{{}, {Schedule: "nonsense"}, {Schedule: "99 * * * *"}, {Schedule: "0 3 * * *", TimeZone: "Mars/Olympus"}} {
		if got := nextRun(&task, after); !got.IsZero() {
			t.Errorf("%+v runs at %s", task, got)
		}
	}
}
