package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/targets/api"
)

// outputOf asks for what a run wrote.
func outputOf(t *testing.T, r *running, run string, q api.LogQuery) ([]string, *api.TaskRun, error) {
	t.Helper()
	var lines []string
	sink := event.Func(func(e event.Event) { lines = append(lines, e.Text) })
	ended, err := r.TaskLogs(t.Context(), "migrate", run, q, sink)
	return lines, ended, err
}

// TestTaskOutput reads what a run writes while it goes on, after its end,
// while another agent has taken it up, and not after the environment was
// taken down.
func TestTaskOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.boot(0)
		release := withTasks(pipeline.Task{Name: "migrate", Timeout: pipeline.Duration(time.Hour)})
		if err := (&sequence{t: t, id: "d1", r: release, steps: roll(first.Placement[host]...)}).run(r); err != nil {
			t.Fatal(err)
		}
		for id := range 40 {
			w.logs[fmt.Sprintf("c%d", id)] = []string{"migrating"}
		}
		begin := func() string {
			go func() { _, _ = r.RunTask(t.Context(), "migrate", api.RunTask{}, nil) }()
			synctest.Wait()
			runs, err := r.TaskRuns(t.Context(), "migrate", 1)
			if err != nil || len(runs) != 1 || !runs[0].Ended.IsZero() {
				t.Fatalf("what runs: %+v, %v", runs, err)
			}
			return runs[0].ID
		}
		one := begin()
		go func() { time.Sleep(3 * time.Second); w.endTask("migrate", 3) }()
		lines, run, err := outputOf(t, r, one, api.LogQuery{Follow: true})
		if err != nil || !slices.Equal(lines, []string{"migrating"}) {
			t.Errorf("following: %q, %+v, %v", lines, run, err)
		}
		time.Sleep(2 * time.Second) // the run notices its end
		lines, run, err = outputOf(t, r, one, api.LogQuery{Follow: true})
		if err != nil || !slices.Equal(lines, []string{"migrating"}) || run.ExitCode != 3 {
			t.Errorf("after its end: %q, %+v, %v", lines, run, err)
		}
		two := begin()
		r.stop()
		r = w.boot(0)
		synctest.Wait()
		lines, run, err = outputOf(t, r, two, api.LogQuery{})
		if err != nil || !slices.Equal(lines, []string{"migrating"}) || !run.Ended.IsZero() {
			t.Errorf("under another agent: %q, %+v, %v", lines, run, err)
		}
		w.endTask("migrate", 4)
		time.Sleep(2 * time.Second)
		lines, run, err = outputOf(t, r, two, api.LogQuery{})
		if err != nil || !slices.Equal(lines, []string{"migrating"}) || run.ExitCode != 4 {
			t.Errorf("after its end there: %q, %+v, %v", lines, run, err)
		}
		if _, _, err = outputOf(t, r, "00000099", api.LogQuery{}); !isCode(err, api.CodeNotFound) {
			t.Errorf("a run that never was: %v", err)
		}
		if _, _, err = outputOf(t, r, "..", api.LogQuery{}); err == nil {
			t.Error("a name that leads elsewhere was taken")
		}
		lease, err := r.AcquireLease(t.Context(), api.AcquireLease{TTL: 60})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Down(t.Context(), api.Down{Fence: lease.Fence}, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err = outputOf(t, r, one, api.LogQuery{}); !isCode(err, api.CodeNotFound) {
			t.Errorf("after down: %v", err)
		}
		if runs, err := r.TaskRuns(t.Context(), "migrate", 0); err != nil || len(runs) != 2 || runs[0].ID != two {
			t.Errorf("the runs are remembered: %+v, %v", runs, err)
		}
		r.stop()
	})
}

// TestTaskOutputIsBounded looks that output goes with the record of its run,
// and that the oldest goes when there is too much of it.
func TestTaskOutputIsBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		sizes map[string]int // by run
		known string
		left  string
	}{
		{"little", map[string]int{"01": 10, "02": 10, "03": 10}, "01 02 03", "01 02 03"},
		{"forgotten runs", map[string]int{"01": 10, "02": 10, "03": 10}, "02 03", "02 03"},
		{"too much", map[string]int{"01": 10, "02": 60, "03": 50}, "01 02 03", "03"},
		{"just enough", map[string]int{"01": 10, "02": 50, "03": 50}, "01 02 03", "02 03"},
		{"the newest stays", map[string]int{"01": 10, "02": 500}, "01 02", "02"},
		{"none", nil, "01", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "migrate")
			for run, size := range c.sizes {
				path := filepath.Join(folder, run)
				if err := os.MkdirAll(path, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(path, "log"), make([]byte, size), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var known []api.TaskRun
			for run := range strings.FieldsSeq(c.known) {
				known = append(known, api.TaskRun{ID: run})
			}
			if err := dropTaskOutput(folder, known, 100); err != nil {
				t.Fatal(err)
			}
			var left []string
			entries, _ := os.ReadDir(folder) // there may be none
			for _, e := range entries {
				left = append(left, e.Name())
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("%q is left, want %q", got, c.left)
			}
		})
	}
}
