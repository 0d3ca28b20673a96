package agent

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
	"dray/targets/runtime"
)

// taskClient asks for a run of migrate as a deployer does: again after a cut,
// with the lines that it has.
type taskClient struct {
	req     api.RunTask
	printed []string
	run     *api.TaskRun
	err     error
	ended   chan struct{}
}

func (c *taskClient) ask(r *running) {
	c.ended = make(chan struct{})
	c.req.Seen = len(c.printed)
	go func() {
		defer close(c.ended)
		c.run, c.err = r.RunTask(context.Background(), "migrate", c.req, event.Func(func(e event.Event) {
			if e.Type == event.Output {
				c.printed = append(c.printed, e.Text)
			}
		}))
	}()
	time.Sleep(time.Second) // of the test's own clock
	synctest.Wait()
}

// taskContainer returns the one container of migrate.
func (w *world) taskContainer() *runtime.Container {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []*runtime.Container
	for _, c := range w.containers {
		if c.Spec.Labels[runtime.LabelTask] == "migrate" {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d containers of the task, want 1", len(found))
	}
	return found[0]
}

// print has a container write lines.
func (w *world) print(id string, lines ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs[id] = append(w.logs[id], lines...)
}

// leave ends the agent: by a crash, or as a service manager does.
func (w *world) leave(r *running, crash bool) {
	w.mu.Lock()
	w.dead = crash
	w.mu.Unlock()
	r.stop()
	if crash {
		_ = r.agent.journal.Close()
	}
}

func (w *world) tasksLeft() (left []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.containers {
		if c.Spec.Labels[runtime.LabelTask] != "" {
			left = append(left, c.Spec.Name)
		}
	}
	return left
}

// migrating is a world with a release that has the task migrate.
func migrating(t *testing.T, number int, task pipeline.Task) api.Release {
	t.Helper()
	task.Name = "migrate"
	release := withTasks(task)
	release.Number = number
	return release
}

var waysToLeave = []struct {
	name  string
	crash bool
}{{"restart", false}, {"crash", true}}

// TestTaskOutlivesItsAgent: a run goes on while its agent is away, and whoever
// asks again has its whole output, each line once, and its own exit code.
func TestTaskOutlivesItsAgent(t *testing.T) {
	for _, way := range waysToLeave {
		for _, endsAway := range []bool{false, true} {
			t.Run(way.name+map[bool]string{true: ", ended meanwhile"}[endsAway], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { outlive(t, way.crash, endsAway) })
			})
		}
	}
}

func outlive(t *testing.T, crash, endsAway bool) {
	w := newWorld(t)
	r := w.boot(0)
	release := migrating(t, 1, pipeline.Task{Timeout: pipeline.Duration(time.Hour)})
	if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
		t.Fatal(err)
	}
	w.logs["c5"] = []string{"one", "two"} // the containers of the release are the first four
	c := taskClient{req: api.RunTask{Key: "once"}}
	c.ask(r)
	id := w.taskContainer().ID
	w.leave(r, crash)
	<-c.ended
	var refused *api.Error
	if c.err == nil || !crash && errors.As(c.err, &refused) || w.taskContainer().State != runtime.Running {
		t.Fatalf("the agent has left: the client got %+v, %v, and the task is %s", c.run, c.err, w.taskContainer().State)
	}
	w.print(id, "three")
	if endsAway {
		w.end(id, 3)
	}
	r = w.boot(0)
	defer r.stop()
	c.ask(r)
	if !endsAway {
		w.end(id, 3)
	}
	<-c.ended
	if c.err != nil || c.run.ExitCode != 3 || c.run.TimedOut {
		t.Errorf("the run: %+v, %v; want exit code 3", c.run, c.err)
	}
	if want := []string{"one", "two", "three"}; !slices.Equal(c.printed, want) {
		t.Errorf("the client has printed %q, want %q", c.printed, want)
	}
	tasks, err := r.Tasks(t.Context(), 10)
	if err != nil || len(tasks[0].Runs) != 1 || tasks[0].Runs[0].ExitCode != 3 || !slices.Equal(tasks[0].Runs[0].Logs, []string{"one", "two", "three"}) {
		t.Errorf("the history: %+v, %v; want one run", tasks, err)
	}
	if left := w.tasksLeft(); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	w.assertRelease(r, 1, release)
}

// TestDeploymentGetsItsTaskBack: the agent is replaced in the middle of a
// migration, and the deployment goes on to its end.
func TestDeploymentGetsItsTaskBack(t *testing.T) {
	for _, way := range waysToLeave {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := deployed(t)
				r := w.boot(0)
				release := migrating(t, 2, pipeline.Task{})
				s := &sequence{t: t, id: "d2", r: release}
				if err := s.begin(r); err != nil {
					t.Fatal(err)
				}
				c := taskClient{req: api.RunTask{Key: "d2/migrate", Deployment: "d2", Fence: s.fence}}
				c.ask(r)
				w.leave(r, way.crash)
				<-c.ended
				r = w.boot(0)
				defer r.stop()
				c.ask(r)
				if _, err := r.RenewLease(t.Context(), api.RenewLease{Fence: s.fence, TTL: 20}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(15 * time.Second)
				w.end(w.taskContainer().ID, 0)
				<-c.ended
				if c.err != nil || c.run.ExitCode != 0 || c.run.Trigger != api.TaskByHook {
					t.Fatalf("the run: %+v, %v", c.run, c.err)
				}
				if err := s.run(r); err != nil {
					t.Fatal(err)
				}
				w.assertRelease(r, 2, release)
			})
		})
	}
}

// TestAdoptedTaskEndsWithItsLease: a migration whose deployer is gone ends, also
// when that happens while no agent runs. Its key may be used again.
func TestAdoptedTaskEndsWithItsLease(t *testing.T) {
	for _, away := range []time.Duration{time.Second, time.Minute} {
		t.Run("away for "+away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := deployed(t)
				r := w.boot(0)
				s := &sequence{t: t, id: "d2", r: migrating(t, 2, pipeline.Task{})}
				if err := s.begin(r); err != nil {
					t.Fatal(err)
				}
				c := taskClient{req: api.RunTask{Key: "d2/migrate", Deployment: "d2", Fence: s.fence}}
				c.ask(r)
				w.leave(r, true)
				time.Sleep(away)
				r = w.boot(0)
				defer r.stop()
				time.Sleep(30 * time.Second) // past the lease
				synctest.Wait()
				if left := w.tasksLeft(); len(left) > 0 {
					t.Errorf("%v outlive the lease", left)
				}
				e := r.agent.environmentOf("shop", "prod")
				runs, err := r.agent.taskRuns(e, "migrate", 0)
				if err != nil || len(runs) != 1 || runs[0].ExitCode == 0 || runs[0].Ended.IsZero() || runs[0].Reason == "" {
					t.Errorf("the history: %+v, %v; want one run that was made to end", runs, err)
				}
				if before, err := r.agent.runWithKey(e, "d2/migrate"); before != nil || err != nil {
					t.Errorf("a run that was made to end answers its key: %+v, %v", before, err)
				}
				w.assertRelease(r, 1, first)
			})
		})
	}
}

// TestAdoptedTaskKeepsItsTimeout: the time of a run is counted from its start.
func TestAdoptedTaskKeepsItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		release := migrating(t, 1, pipeline.Task{Timeout: pipeline.Duration(10 * time.Minute)})
		if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Fatal(err)
		}
		c := taskClient{req: api.RunTask{Key: "once"}}
		c.ask(r)
		time.Sleep(6 * time.Minute)
		w.leave(r, false)
		r = w.boot(0)
		defer r.stop()
		c.ask(r)
		<-c.ended
		if c.err != nil || !c.run.TimedOut || c.run.Ended.Sub(c.run.Started).Round(time.Minute) != 10*time.Minute {
			t.Errorf("the run: %+v, %v; want it timed out after 10 minutes", c.run, c.err)
		}
	})
}

// TestScheduledTaskOutlivesItsAgent: the schedule counts a run of before as one
// that goes on, and has its end in the history.
func TestScheduledTaskOutlivesItsAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		release := migrating(t, 1, pipeline.Task{Schedule: "0 * * * *"})
		if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		id := w.taskContainer().ID
		w.leave(r, false)
		r = w.boot(0)
		defer r.stop()
		time.Sleep(time.Hour) // the next time comes, and is skipped
		w.end(id, 4)
		time.Sleep(time.Minute)
		synctest.Wait()
		tasks, err := r.Tasks(t.Context(), 10)
		if err != nil || len(tasks[0].Runs) != 2 || tasks[0].Runs[1].ExitCode != 4 || !strings.HasPrefix(tasks[0].Runs[0].Reason, "skipped") {
			t.Errorf("the history: %+v, %v; want exit code 4, then one skipped", tasks, err)
		}
	})
}

// TestTaskRunsOnceThroughACrash ends the agent after each change of a run: its
// program runs once, whatever is asked again.
func TestTaskRunsOnceThroughACrash(t *testing.T) {
	for at, point := range []string{"task.begin", "task.end"} {
		t.Run(point, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := w.boot(0)
				release := migrating(t, 1, pipeline.Task{})
				if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				r.stop()
				started := w.started
				r = w.boot(at + 1)
				c := taskClient{req: api.RunTask{Key: "once"}}
				c.ask(r)
				w.endTask("migrate", 7)
				time.Sleep(2 * time.Second)
				r.stop()
				<-c.ended
				if got := r.points[len(r.points)-1]; got != point {
					t.Fatalf("the crash came after %s, want %s", got, point)
				}
				r = w.boot(0)
				defer r.stop()
				c.ask(r)
				w.endTask("migrate", 7)
				<-c.ended
				if ran := w.started - started; c.err != nil || c.run.ExitCode != 7 || ran != 1 {
					t.Errorf("the run: %+v, %v; it ran %d times, want once", c.run, c.err, ran)
				}
				if left := w.tasksLeft(); len(left) > 0 {
					t.Errorf("%v are left", left)
				}
			})
		})
	}
}

// TestTaskThatNeverBegan: a container that was made and not started is none of a
// run that goes on.
func TestTaskThatNeverBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		release := migrating(t, 1, pipeline.Task{})
		if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Fatal(err)
		}
		c := taskClient{req: api.RunTask{Key: "once"}}
		c.ask(r)
		made := w.taskContainer()
		w.leave(r, true)
		w.mu.Lock()
		made.State = runtime.Created
		w.mu.Unlock()
		r = w.boot(0)
		defer r.stop()
		time.Sleep(time.Second)
		if left := w.tasksLeft(); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
		c.ask(r)
		w.endTask("migrate", 0)
		<-c.ended
		if c.err != nil || c.run.ExitCode != 0 {
			t.Errorf("asked again: %+v, %v; want a run", c.run, c.err)
		}
	})
}

// TestUnreadableRunIsLeft: what can't be read is neither ended nor run again,
// and nothing else waits for it.
func TestUnreadableRunIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		release := migrating(t, 1, pipeline.Task{})
		if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Fatal(err)
		}
		c := taskClient{req: api.RunTask{Key: "once"}}
		c.ask(r)
		w.leave(r, false)
		db, err := bbolt.Open(filepath.Join(w.dir, "agent.db"), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("tasks")).Put([]byte("shop/prod/00000001"), []byte(`{"exit_code": "none"}`))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		r = w.boot(0)
		defer r.stop()
		time.Sleep(time.Minute)
		if state := w.taskContainer().State; state != runtime.Running {
			t.Errorf("its container is %s, want it running", state)
		}
		if _, err := r.RunTask(t.Context(), "migrate", api.RunTask{Key: "once"}, nil); !isCode(err, api.CodeConflict) {
			t.Errorf("asked again: %v, want a conflict", err)
		}
		other := taskClient{}
		other.ask(r)
		w.endTask("migrate", 0)
		<-other.ended
		if other.err != nil {
			t.Errorf("another run: %v", other.err)
		}
	})
}

// TestRunByHandOutlivesItsAgent: the container of a run goes on while its agent
// is away, and its client finds it again.
func TestRunByHandOutlivesItsAgent(t *testing.T) {
	for _, way := range waysToLeave {
		for _, endsAway := range []bool{false, true} {
			t.Run(way.name+map[bool]string{true: ", ended meanwhile"}[endsAway], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := deployed(t)
					r := w.boot(0)
					b := w.beginRun(t.Context(), r, api.RunService{Key: "k1"})
					w.leave(r, way.crash)
					<-b.ended
					if c := w.container(b.id); c == nil || c.State != runtime.Running {
						t.Fatalf("the agent has left, and the container is %+v", c)
					}
					if endsAway {
						w.end(b.id, 9)
					}
					r = w.boot(0)
					defer r.stop()
					var states []string
					if !endsAway {
						go func() { time.Sleep(time.Minute); w.end(b.id, 9) }()
					}
					run, err := r.RunService(t.Context(), "web", api.RunService{Key: "k1", Rejoin: true}, func(id string, runs bool) {
						states = append(states, id, map[bool]string{true: "runs"}[runs])
					})
					if err != nil || run.ExitCode != 9 || !slices.Equal(states, []string{b.id, "runs"}) {
						t.Errorf("rejoined: %+v, %v, told %q; want exit code 9", run, err, states)
					}
					time.Sleep(2 * time.Minute)
					if w.container(b.id) != nil {
						t.Error("it is left")
					}
					_, err = r.RunService(t.Context(), "web", api.RunService{Key: "k1", Rejoin: true}, func(string, bool) {})
					if !isCode(err, api.CodeNotFound) {
						t.Errorf("rejoined once more: %v, want that it is not there", err)
					}
					w.assertRelease(r, 1, first)
				})
			})
		}
	}
}

// TestRunByHandWithoutItsClient: a run whose client does not come back goes on
// to its end, and is removed some time after it.
func TestRunByHandWithoutItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := deployed(t)
		r := w.boot(0)
		b := w.beginRun(t.Context(), r, api.RunService{})
		w.leave(r, false)
		<-b.ended
		r = w.boot(0)
		defer r.stop()
		time.Sleep(time.Hour)
		if c := w.container(b.id); c == nil || c.State != runtime.Running {
			t.Fatalf("the container is %+v, want it running", c)
		}
		w.end(b.id, 0)
		time.Sleep(2 * claimTime)
		if w.container(b.id) != nil {
			t.Error("it is left")
		}
	})
}
