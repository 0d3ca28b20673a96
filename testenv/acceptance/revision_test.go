package acceptance

import (
	"fmt"
	"strings"
	"testing"

	"dray/testenv"
	"dray/testenv/world"
)

// TestRevisions promotes one release three times with two configurations: each
// has a name of its own, is approved by itself, and can be gone back to.
func TestRevisions(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"t1", "p1", "p2"}})
	w.App(t, "test: t1", "prod: p1 p2")
	w.Replace(t, "dray.hcl", "promotion { from = environment.test }", `promotion {
    from    = environment.test
    approve = true
  }
  service "web" { env = { VERSION = "info" } }`)
	runs := func(level, release string) {
		t.Helper()
		for _, host := range []string{"p1", "p2"} {
			serves(t, w, host, level)
		}
		s := w.Status(t)["prod"]
		if n := fmt.Sprintf("%d.%d", s.Release, s.Revision); n != release || len(s.Notes) > 0 {
			t.Errorf("status: release %s, %q; want %s", n, s.Notes, release)
		}
	}
	prints := func(r world.Result, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(r.Stdout, text) {
				t.Errorf("it does not say %q: %s", text, r)
			}
		}
	}

	w.Dray(t, 0, "deploy", "test")
	says(t, w.Dray(t, 5, "promote", "prod"), "release 1 may not enter prod", "dray approve prod 1\n")
	prints(w.Dray(t, 0, "approve", "prod", "1"), " approved release 1 for prod: web ")
	if yes := typed[struct{ Release int }](t, w.Dray(t, 0, "approve", "prod", "1", "--json"), "run.finished"); len(yes) != 1 || yes[0].Release != 1 {
		t.Errorf("the approval as JSON: %+v", yes)
	}
	prints(w.Dray(t, 0, "promote", "prod"), "(release 1)")
	runs("info", "1.0")
	prints(w.Dray(t, 0, "promote", "prod"), "Nothing to do")

	w.Replace(t, "dray.hcl", `"info"`, `"debug"`)
	prints(w.Dray(t, 2, "plan", "prod"), "release 1 → 1.1", `"info" → "debug"`)
	says(t, w.Dray(t, 5, "promote", "prod"), "release 1.1 may not enter prod", "nobody has approved it", "dray approve prod 1.1", "prod is untouched and runs release 1.")
	says(t, w.Dray(t, 5, "approve", "prod", "1.0"), "release 1 does not wait for prod", "dray approve prod 1.1")
	prints(w.Dray(t, 0, "approve", "prod", "1"), " approved release 1.1 for prod: web ")
	w.Replace(t, "dray.hcl", `"debug"`, `"trace"`)
	says(t, w.Dray(t, 5, "promote", "prod"), " approved as release 1.1 was another configuration")
	runs("info", "1.0")
	w.Replace(t, "dray.hcl", `"trace"`, `"debug"`)
	prints(w.Dray(t, 0, "promote", "prod"), "(release 1.1)")
	runs("debug", "1.1")

	prints(w.Dray(t, 0, "rollback", "prod"), "(release 1)")
	runs("info", "1.0")
	prints(w.Dray(t, 0, "rollback", "prod", "1"), "(release 1.1)")
	runs("debug", "1.1")
	w.Dray(t, 0, "rollback", "prod", "1.0")
	runs("info", "1.0")
	says(t, w.Dray(t, 5, "rollback", "prod", "1.0"), "it runs release 1 already")
	says(t, w.Dray(t, 5, "rollback", "prod", "1.7"), "release 1.7 is not kept; there are: 1.1")

	// What was approved and ran comes back under its own name.
	prints(w.Dray(t, 0, "promote", "prod"), "(release 1.1)")
	runs("debug", "1.1")
	wantHistory(t, w, "1.0 → 1.1", "1.1 → 1.0", "1.0 → 1.1", "1.1 → 1.0", "1.0 → 1.1", "0.0 → 1.0")
	prints(w.Dray(t, 0, "history", "prod"), "1 → 1.1", "1.1 → 1", "approved by ")
	prints(w.Dray(t, 0, "ps", "prod"), "1.1")
	for release, level := range map[string]string{"1": "info", "1.1": "debug"} {
		logs := w.Dray(t, 0, "logs", "prod", "--release", release).Stderr // where the app writes
		if strings.Count(logs, "app "+level) == 0 || strings.Count(logs, "app ") != strings.Count(logs, "app "+level) {
			t.Errorf("the log of release %s:\n%s", release, logs)
		}
	}
}

// TestApprovingWithoutSecrets approves where the values of secrets are not at
// hand: what can't be known there is said by the one who promotes.
func TestApprovingWithoutSecrets(t *testing.T) {
	t.Parallel()
	w := world.New(t, testenv.Options{Hosts: []string{"t1", "p1"}})
	w.App(t, "test: t1", "prod: p1")
	w.Replace(t, "dray.hcl", "promotion { from = environment.test }", `promotion {
    from    = environment.test
    approve = true
  }
  service "web" {
    env = { VERSION = "info" }
    secret "KEY" { env = "KEY" }
  }`)
	const secrets = ".dray/secrets.prod"
	w.Dray(t, 0, "deploy", "test")
	says(t, w.Dray(t, 1, "approve", "prod", "1"), "dray was never on a host of prod")
	w.Dray(t, 0, "host", "setup", "p1")
	w.Dray(t, 0, "approve", "prod", "1")
	w.Write(t, map[string]string{secrets: "KEY=one\n"})
	w.Dray(t, 0, "promote", "prod")
	serves(t, w, "p1", "info")

	w.Replace(t, "dray.hcl", `"info"`, `"debug"`)
	w.Write(t, map[string]string{secrets: ""})
	w.Dray(t, 0, "approve", "prod", "1")
	w.Write(t, map[string]string{secrets: "KEY=one\n"})
	w.Dray(t, 0, "promote", "prod")
	serves(t, w, "p1", "debug")

	// Only the value is another one: the approver's dray can't tell.
	w.Write(t, map[string]string{secrets: "KEY=two\n"})
	says(t, w.Dray(t, 5, "promote", "prod"), "dray approve prod 1.2")
	w.Write(t, map[string]string{secrets: ""})
	w.Dray(t, 0, "approve", "prod", "1.2")
	w.Write(t, map[string]string{secrets: "KEY=two\n"})
	w.Dray(t, 0, "promote", "prod")
	wantHistory(t, w, "1.1 → 1.2", "1.0 → 1.1", "0.0 → 1.0")
}

// wantHistory compares prod's history, newest first, as JSON has it.
func wantHistory(t *testing.T, w *world.World, want ...string) {
	t.Helper()
	var got []string
	for _, l := range history(t, w, "prod") {
		got = append(got, fmt.Sprintf("%d.%d → %d.%d", l.From, l.FromRevision, l.Release, l.Revision))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("history: %q, want %q", got, want)
	}
}
