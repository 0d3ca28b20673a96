package acceptance

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"dray/testenv/world"
)

// line is what every line of a run with --json has.
type line struct {
	V    int
	Type string
}

// typed reads what a run with --json wrote: every line is an object that says
// its version and its type. It returns those of one type.
func typed[T any](t *testing.T, r world.Result, want string) []T {
	t.Helper()
	var out []T
	for text := range strings.Lines(r.Stdout) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.V != 1 || l.Type == "" {
			t.Errorf("dray %s: %v: %s", strings.Join(r.Args, " "), err, text)
			continue
		}
		if l.Type != want {
			continue
		}
		var v T
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("dray %s: %v: %s", strings.Join(r.Args, " "), err, text)
		}
		out = append(out, v)
	}
	return out
}

// answersInJSON asks with every verb that changes nothing, of prod on p1 and
// p2, and looks that what comes is lines of JSON, so many of them results.
func answersInJSON(t *testing.T, w *world.World) {
	for _, test := range []struct {
		args  string
		code  int
		want  string
		least int
	}{
		{"version", 0, "version", 1},
		{"validate", 0, "validate", 1},
		{"config", 0, "config", 1},
		{"fmt --check", 0, "fmt", 0},
		{"status", 0, "status", 1},
		{"ps prod", 0, "ps", 2},
		{"stats prod", 0, "stats", 2},
		{"history prod", 0, "history", 2},
		{"task list prod", 0, "task.list", 0},
		{"logs prod web", 0, "output", 2},
		{"logs prod --release 3", 0, "output", 1}, // it failed, and its containers are gone
		{"logs prod --release 77", 1, "failure", 1},
		{"plan prod", 2, "plan", 1},
		{"host check", 0, "host.check", 2},
		{"builder status", 0, "builder.status", 1},
		{"prune prod --dry-run", 0, "prune", 2},
		{"history nowhere", 1, "failure", 1},
	} {
		r := w.Dray(t, test.code, append(strings.Fields(test.args), "--json")...)
		if got := typed[line](t, r, test.want); len(got) < test.least {
			t.Errorf("%d lines of type %s: %s", len(got), test.want, r)
		}
	}
	for _, l := range typed[struct{ Time, Host, Instance, Stream, Text string }](t, w.Dray(t, 0, "logs", "prod", "web", "--json"), "output") {
		if at, err := time.Parse(time.RFC3339Nano, l.Time); err != nil || time.Since(at) > time.Hour || !strings.HasPrefix(l.Host, "p") ||
			!strings.HasPrefix(l.Instance, "web/") || l.Stream != "stderr" || l.Text == "" || strings.HasPrefix(l.Text, "20") {
			t.Errorf("a line of the log: %+v", l)
		}
	}
}

// changesInJSON does the same with verbs that change something, while events
// are followed.
func changesInJSON(t *testing.T, w *world.World) {
	seen, stop := watching(t, w, "events", "prod", "--json")
	for _, test := range []struct{ args, want string }{
		{"lock prod --reason tests", "run.finished"},
		{"unlock prod", "run.finished"},
		{"prune prod", "prune"},
		{"deploy prod --var version=4", "run.finished"},
		{"builder stop", "builder.stop"},
	} {
		r := w.Dray(t, 0, append(strings.Fields(test.args), "--json")...)
		if got := typed[line](t, r, test.want); len(got) == 0 {
			t.Errorf("nothing of type %s: %s", test.want, r)
		}
	}
	eventually(t, 10*time.Second, "events", func() error {
		if all := seen.String(); !strings.Contains(all, `"type":"instance.state"`) {
			return errors.New(all)
		}
		return nil
	})
	stop()
	typed[line](t, world.Result{Args: []string{"events"}, Stdout: seen.String()}, "")
}

// saysWhoIsSilent looks that one host which is down keeps no verb from saying
// what the others know: all of prod is on p1, and p2 does not answer.
func saysWhoIsSilent(t *testing.T, w *world.World) {
	const silent = "! prod  p2: "
	var group sync.WaitGroup
	defer group.Wait()
	for _, test := range []struct{ args, says string }{
		{"history prod", "p1"},
		{"stats prod", "p1"},
		{"logs prod web", "listens on"},
		{"logs prod --release 3", "p1 web/"},
		{"task list prod", "prod has no tasks"},
	} {
		group.Go(func() {
			r := w.Run(t.Context(), strings.Fields(test.args)...)
			if r.Code != 0 || !strings.Contains(r.Stdout+r.Stderr, test.says) || !strings.Contains(r.Stderr, silent) {
				t.Errorf("it does not say what p1 knows, and that p2 is silent: %s", r)
			}
			r = w.Run(t.Context(), append(strings.Fields(test.args), "--json")...)
			hosts := typed[struct{ Host, State, Text string }](t, r, "host.state")
			if r.Code != 0 || len(hosts) != 1 || hosts[0].Host != "p2" || hosts[0].State != "unreachable" || hosts[0].Text == "" {
				t.Errorf("it does not say that p2 is silent: %s", r)
			}
		})
	}
	group.Go(func() {
		if r := w.Run(t.Context(), "ps", "prod"); r.Code != 0 || !strings.Contains(r.Stdout, "web/1") || !strings.Contains(r.Stdout, silent) {
			t.Errorf("%s", r)
		}
	})
	says(t, w.Dray(t, 1, "task", "run", "prod", "nosuch"), `no task "nosuch" in what prod runs`) // tasks run on p1
	seen, stop := watching(t, w, "events", "prod")
	defer stop()
	r := w.Dray(t, 1, "lock", "prod", "--reason", "it is late", "--for", "1h")
	says(t, r, "prod is locked on p1 only: p2 could not be told", "p2: ", "A deployment that leaves out p1 gets in.", `dray lock prod --for 1h --reason "it is late", once p2 can be reached`)
	says(t, w.Dray(t, 5, "deploy", "prod", "--skip-host", "p2"), "it is late")
	says(t, w.Dray(t, 5, "lock", "prod", "--reason", "audit"), "prod is locked by ", ": it is late", `dray lock prod --reason "audit" --replace`)
	says(t, w.Dray(t, 1, "unlock", "prod"), "prod is unlocked on p1 only", "dray unlock prod, once p2 can be reached")
	if !strings.Contains(seen.String(), silent) {
		t.Errorf("events does not speak of p2: %s", seen.String())
	}
}
