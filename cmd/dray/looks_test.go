package main

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"dray/cmd/internal/settings"
	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/output"
	"dray/targets/api"
)

func TestLineWriter(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	a := ui.Prefixed(&mu, &out, "a | ")
	b := ui.Prefixed(&mu, &out, "b | ")
	for _, step := range []struct {
		w    *output.Lines
		text string
	}{{a, "one\ntw"}, {b, "eins\n"}, {a, "o\n\nthree"}, {b, "zw"}} {
		if n, err := step.w.Write([]byte(step.text)); n != len(step.text) || err != nil {
			t.Fatalf("wrote %d of %q: %v", n, step.text, err)
		}
	}
	for _, w := range []*output.Lines{a, b, a} {
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if want := "a | one\nb | eins\na | two\na | \na | three\nb | zw\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestMergeHistory(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 22, 10, minute, 0, 0, time.UTC) }
	of := func(number int) api.ReleaseRef { return api.ReleaseRef{Release: number} }
	var lines []historyLine
	lines = mergeHistory(lines, "p1", []api.Record{
		{Deployment: "b", ReleaseRef: of(2), Result: "reverted", Started: at(2)}, {Deployment: "a", ReleaseRef: of(1), Result: "confirmed", Started: at(1)},
	})
	lines = mergeHistory(lines, "p2", []api.Record{
		{Deployment: "c", ReleaseRef: of(3), Result: "confirmed", Started: at(3)}, {Deployment: "b", ReleaseRef: of(2), Result: "confirmed", Started: at(2)},
		{Deployment: "a", ReleaseRef: of(1), Result: "confirmed", Started: at(1)},
	})
	var got []string
	for _, l := range lines {
		got = append(got, l.Deployment+" "+l.Result+" "+strings.Join(l.Hosts, ","))
	}
	want := []string{"c confirmed p2", "b reverted p1", "b confirmed p2", "a confirmed p1,p2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHistoryNamesRevisions(t *testing.T) {
	inUTC(t)
	var out bytes.Buffer
	record := func(n, from pipeline.ReleaseNumber) historyLine {
		return historyLine{Record: api.Record{ReleaseRef: api.RefTo(n), FromRef: api.RefFrom(from)}}
	}
	first, second := pipeline.ReleaseNumber{Number: 42}, pipeline.ReleaseNumber{Number: 42, Revision: 1}
	err := printHistory(&out, []historyLine{record(first, second), record(second, first), record(first, pipeline.ReleaseNumber{}), record(second, second)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		if columns := strings.Split(line, "   "); !strings.HasPrefix(line, "WHEN") {
			got = append(got, strings.TrimSpace(columns[1]))
		}
	}
	if want := []string{"42.1 → 42", "42 → 42.1", "42", "42.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestInstance: who names an instance that is not there hears which are.
func TestInstance(t *testing.T) {
	var found []environment.Container
	for _, name := range []string{"web/2", "web/1", "web/1"} {
		found = append(found, environment.Container{Summary: container.Summary{Labels: map[string]string{"dray.instance": name}}})
	}
	if of, err := instance("web/1", "dev", found, nil); len(of) != 2 || err != nil {
		t.Errorf("got %d containers, %v", len(of), err)
	}
	if _, err := instance("web/9", "dev", found, nil); err == nil || err.Error() != "no instance web/9 in dev; there are: web/1, web/2" {
		t.Errorf("got %v", err)
	}
	if of, err := instance("web/9", "dev", nil, nil); len(of) > 0 || err != nil {
		t.Errorf("nothing runs: got %d containers, %v", len(of), err)
	}
	if _, err := instance("web/9", "dev", found, silent{{Host: "p2", Err: os.ErrDeadlineExceeded}}); err == nil || !strings.Contains(err.Error(), "p2") {
		t.Errorf("a host is silent: %v", err)
	}
}

// TestDigestsDiffer: where hosts run different digests, status says which run
// which.
func TestDigestsDiffer(t *testing.T) {
	env := &pipeline.Environment{Name: "prod", Services: map[string]*pipeline.Service{"web": {Name: "web"}, "db": {Name: "db"}}}
	runs := func(host string, number int, web string) environment.HostStatus {
		r := &pipeline.Release{Number: number, Services: []pipeline.Service{{Name: "db"}, {Name: "web"}}, Images: imagesNamed("web", web)}
		r.Images["db"] = pipeline.ReleaseImage{Digest: "sha256:dddd"}
		return environment.HostStatus{Host: host, State: &api.Environment{Current: r}}
	}
	v := environment.Status{Environment: "prod", Hosts: []environment.HostStatus{
		runs("p1", 42, "7d1c0f6e2b9a77"), runs("p2", 41, "a91e77d0c4f511"), runs("p3", 41, "a91e77d0c4f511"), runs("p4", 41, "a91e77d0c4f511"),
	}}
	v.Sum(env)
	if got, want := v.Notes[len(v.Notes)-1], "web: p1 7d1c0f6e2b9a, p2 and 2 more a91e77d0c4f5"; got != want || v.Images["web"] != "sha256:7d1c0f6e2b9a77" {
		t.Errorf("got %q and %v, want %q", got, v.Images, want)
	}
	var out bytes.Buffer
	p := &project{project: &pipeline.Project{Environments: []*pipeline.Environment{env}}}
	if err := p.printStatus(&out, []environment.Status{v}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"- dddd", "- digests differ\n", "! prod  web: p1 7d1c0f6e2b9a, p2 and 2 more a91e77d0c4f5\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// TestHindrances: status tells what a promotion still lacks, where that is known.
func TestHindrances(t *testing.T) {
	dev := &environment.Status{Environment: "dev", Release: 43, Since: time.Now().Add(-4*time.Minute - time.Second)}
	on := func(states ...*api.Environment) *environment.Status {
		v := &environment.Status{Environment: "prod", Hosts: []environment.HostStatus{{Error: "silent"}}}
		for _, s := range states {
			v.Hosts = append(v.Hosts, environment.HostStatus{State: s})
		}
		return v
	}
	strict := pipeline.Promotion{From: "dev", MinAge: pipeline.Duration(30 * time.Minute), Approve: true}
	approved := func(n int) *api.Environment {
		return &api.Environment{Approvals: []api.Approval{{ReleaseRef: api.ReleaseRef{Release: n, Revision: 1}}}}
	}
	for _, test := range []struct {
		name string
		gate pipeline.Promotion
		prod *environment.Status
		want string
	}{
		{"nothing is asked for", pipeline.Promotion{From: "dev"}, on(&api.Environment{}), ""},
		{"all at once", strict, on(&api.Environment{Freeze: &api.Freeze{}}, approved(42)), " (it has run in dev for 4m of 30m; nobody has approved it; prod is locked)"},
		{"it is approved", strict, on(&api.Environment{}, approved(43)), " (it has run in dev for 4m of 30m)"},
		{"nobody can say", pipeline.Promotion{From: "dev", Approve: true}, on(), ""},
		{"old enough", pipeline.Promotion{From: "dev", MinAge: pipeline.Duration(time.Minute)}, on(&api.Environment{}), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := hindrances(&test.gate, dev, test.prod); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestWaiting: status tells what could be brought: a release, or what the file
// says otherwise by now.
func TestWaiting(t *testing.T) {
	services := func(level string) map[string]*pipeline.Service {
		return map[string]*pipeline.Service{"web": {Name: "web", Env: map[string]string{"LEVEL": level}}}
	}
	dev := &pipeline.Environment{Name: "dev", Services: services("info")}
	prod := &pipeline.Environment{Name: "prod", Services: services("info"), Promotion: &pipeline.Promotion{From: "dev"}}
	p := &project{project: &pipeline.Project{Environments: []*pipeline.Environment{dev, prod}}}
	runs := func(env string, n pipeline.ReleaseNumber, level string) environment.Status {
		r := &pipeline.Release{Number: n.Number, Revision: n.Revision, Services: []pipeline.Service{*services(level)["web"]}, Images: imagesNamed("web", "aaaa")}
		return environment.Status{Environment: env, Release: n.Number, Revision: n.Revision, Hosts: []environment.HostStatus{{Error: "silent"}, {State: &api.Environment{Current: r}}}}
	}
	n := func(number, revision int) pipeline.ReleaseNumber {
		return pipeline.ReleaseNumber{Number: number, Revision: revision}
	}
	for _, test := range []struct {
		name      string
		dev, prod environment.Status
		want      string
	}{
		{"nothing", runs("dev", n(42, 0), "info"), runs("prod", n(42, 1), "info"), ""},
		{"a release", runs("dev", n(43, 0), "info"), runs("prod", n(42, 1), "debug"), "release 43 of dev waits: dray promote prod\n"},
		{"configuration", runs("dev", n(42, 0), "info"), runs("prod", n(42, 0), "debug"), "a change of configuration waits: dray promote prod (dray plan prod shows it)\n"},
		{"configuration of the first", runs("dev", n(42, 0), "debug"), runs("prod", n(42, 0), "info"), "a change of configuration waits: dray deploy dev (dray plan dev shows it)\n"},
		{"hosts differ", environment.Status{Environment: "dev"}, runs("prod", n(42, 0), "info"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			p.printWaiting(&out, []environment.Status{test.dev, test.prod})
			if out.String() != test.want {
				t.Errorf("got %q, want %q", out.String(), test.want)
			}
		})
	}
}

func TestPointInTime(t *testing.T) {
	inUTC(t)
	now := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     {},
		"10m":                  now.Add(-10 * time.Minute),
		"1h30m":                now.Add(-90 * time.Minute),
		"09:15":                time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC),
		"09:15:20":             time.Date(2026, 11, 22, 9, 15, 20, 0, time.UTC),
		"2026-11-20":           time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC),
		"2026-11-20 09:15":     time.Date(2026, 11, 20, 9, 15, 0, 0, time.UTC),
		"2026-11-20T09:15:20Z": time.Date(2026, 11, 20, 9, 15, 20, 0, time.UTC),
	} {
		if got, err := pointInTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "10", "25:00", "22.11.2026"} {
		if got, err := pointInTime(text, now); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

// TestSettingsAreDocumented: docs/OPERATING.md has a row for each setting that
// help shows, with its variable, and each exit code.
func TestSettingsAreDocumented(t *testing.T) {
	src, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	flags := newRoot(&app{viper: settings.NewReader()}).PersistentFlags()
	for _, name := range settings.Names() {
		if f := flags.Lookup(name); f != nil && f.Hidden {
			continue
		}
		variable := "DRAY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if !strings.Contains(text, "| `"+name+"` | `"+variable+"`") {
			t.Errorf("docs/OPERATING.md has no row for %s and %s", name, variable)
		}
	}
	for _, code := range []int{exitDone, exitFailed, exitDifferent, exitReverted, exitNotReverted, exitRefused, exitInterrupted} {
		if !strings.Contains(text, "\n| "+strconv.Itoa(code)+" |") {
			t.Errorf("docs/OPERATING.md has no row for exit code %d", code)
		}
	}
}
