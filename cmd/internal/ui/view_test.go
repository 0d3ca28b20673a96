package ui

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dray/pipeline/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sequence is a run of a pipeline that a good view shows well: a build, a
// rollout on two hosts, one of them unhealthy.
func sequence(t *testing.T) []event.Event {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("testdata", "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var out []event.Event
	for line := range strings.Lines(string(src)) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out = append(out, e)
	}
	return out
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test -update writes it anew):\n%s\nwant:\n%s", name, got, want)
	}
}

func inUTC(t *testing.T) {
	t.Helper()
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
}

func TestPlainView(t *testing.T) {
	inUTC(t)
	var out bytes.Buffer
	v := &plainView{out: &out}
	for _, e := range sequence(t) {
		v.Emit(e)
	}
	v.Close()
	golden(t, "plain.golden", out.String())
}

// TestJSONView holds the form that scripts read: what is emitted comes out, a
// line each, and reads back as the same event.
func TestJSONView(t *testing.T) {
	var out bytes.Buffer
	v := &jsonView{encoder: json.NewEncoder(&out)}
	events := sequence(t)
	for _, e := range events {
		v.Emit(e)
	}
	golden(t, "json.golden", out.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(events) {
		t.Fatalf("%d lines for %d events", len(lines), len(events))
	}
	for i, line := range lines {
		var back event.Event
		if err := json.Unmarshal([]byte(line), &back); err != nil || back != events[i] {
			t.Errorf("line %d reads as %+v (%v), not %+v", i+1, back, err, events[i])
		}
	}
}

// TestTerminalRows draws every row after each event, without colours, at the
// event's own time.
func TestTerminalRows(t *testing.T) {
	v := &terminalView{}
	var b strings.Builder
	for _, e := range sequence(t) {
		switch e.Type {
		case event.RunStarted, event.Notice, event.Warning, "of.tomorrow":
			continue
		case event.StageStarted:
			if isPart(e) {
				v.row(e).part(e)
				continue // its line counts by the clock
			}
			v.row(e).began = e.Time
		case event.StageFinished:
			if isPart(e) {
				v.row(e).part(e)
				break
			}
			v.row(e).end(e)
		default:
			v.row(e).take(e)
		}
		if r := v.row(e); len(r.parts) == 0 || r.parts[0].Type == event.StageFinished {
			b.WriteString(r.text(v, e.Time))
		}
	}
	golden(t, "terminal.golden", b.String())
}

func TestManyInstancesAreCounted(t *testing.T) {
	h := &hostRow{name: "p1"}
	for i, state := range []string{event.Switched, event.Switched, event.Switched, event.Switched, event.Starting, event.Starting, event.Unhealthy} {
		h.take(event.Event{Type: event.InstanceState, Instance: "web/" + string(rune('1'+i)), State: state})
	}
	h.take(event.Event{Type: event.InstanceState, Instance: "db/1", State: event.Switched})
	got, want := h.text(&terminalView{}), "db 1 ✓ switched  web 4 ✓ switched  web 2 ▸ starting  web 1 ✗ unhealthy"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCancelledIsNotFailed: a build that ended because something else failed is
// not told as the culprit.
func TestCancelledIsNotFailed(t *testing.T) {
	e := event.Event{Type: event.StageFinished, Stage: "build", Subject: "web", Took: 2, Error: "no value for TOKEN"}
	v := &terminalView{}
	for state, want := range map[string]string{"": "failed", event.Cancelled: "cancelled"} {
		e.State = state
		if got := Line(e); got != "build web "+want+" after 2.0s" {
			t.Errorf("plain: %s", got)
		}
		r := newRow("", e)
		r.end(e)
		if got := r.text(v, e.Time); !strings.Contains(got, "✗ "+want) {
			t.Errorf("on a terminal: %s", got)
		}
	}
}

// TestConnectingIsQuiet: a host that answers at once is not worth a line; one
// that takes long is.
func TestConnectingIsQuiet(t *testing.T) {
	inUTC(t)
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		v := &plainView{out: &out}
		say := func(host, state string) {
			v.Emit(event.Event{Time: time.Now(), Type: event.HostState, Environment: "prod", Host: host, State: state})
		}
		say("p1", event.Connecting)
		say("p2", event.Connecting)
		say("p3", event.Connecting)
		time.Sleep(Patience / 2)
		say("p1", event.Connected)
		time.Sleep(Patience)
		synctest.Wait()
		say("p2", event.Connected)
		v.Close()
		time.Sleep(Patience)
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		want := []string{"prod p2: connecting", "prod p3: connecting", "prod p2: connected"}
		if len(lines) != len(want) {
			t.Fatalf("got %q", lines)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w+"\n") {
				t.Errorf("%q is not in %q", w, out.String())
			}
		}
	})
}

// TestConnectingVanishes: what a verb answers stands alone on a terminal; a
// rollout that has begun stays.
func TestConnectingVanishes(t *testing.T) {
	for _, test := range []struct {
		name   string
		events []event.Event
		stays  bool
	}{
		{"a question", nil, false},
		{"a rollout", []event.Event{{Type: event.StageStarted, Stage: "deploy", Environment: "dev"}}, true},
		{"its end", []event.Event{{Type: event.InstanceState, Environment: "dev", Host: "d1", Instance: "web/1", State: event.Healthy}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			screen, err := os.Create(filepath.Join(t.TempDir(), "screen"))
			if err != nil {
				t.Fatal(err)
			}
			defer screen.Close()
			v := newTerminalView(screen)
			for _, state := range []string{event.Connecting, event.Connected} {
				v.Emit(event.Event{Type: event.HostState, Environment: "dev", Host: "d1", State: state})
			}
			for _, e := range test.events {
				v.Emit(e)
			}
			v.Leave()
			asked, err := os.ReadFile(screen.Name())
			if err != nil {
				t.Fatal(err)
			}
			if last := asked[bytes.LastIndex(asked, []byte("\x1b[J"))+3:]; strings.Contains(string(last), "d1") != test.stays {
				t.Errorf("above a question: %q", last)
			}
			v.Return()
			v.Close()
			drawn, err := os.ReadFile(screen.Name())
			if err != nil {
				t.Fatal(err)
			}
			last := string(drawn[bytes.LastIndex(drawn, []byte("\x1b[J"))+3:])
			if strings.Contains(last, "d1") != test.stays {
				t.Errorf("left on the screen: %q", last)
			}
		})
	}
}

func TestClip(t *testing.T) {
	tests := []struct {
		line  string
		width int
		want  string
	}{
		{"short", 10, "short"},
		{"exactly ten", 11, "exactly ten"},
		{"a longer line", 8, "a longer\x1b[0m"},
		{"\x1b[32m✓\x1b[0m healthy", 9, "\x1b[32m✓\x1b[0m healthy"},
		{"\x1b[32m✓ healthy\x1b[0m", 5, "\x1b[32m✓ hea\x1b[0m"},
		{"größer", 4, "größ\x1b[0m"},
		{"", 4, ""},
	}
	for _, test := range tests {
		if got := Clip(test.line, test.width); got != test.want {
			t.Errorf("Clip(%q, %d) is %q, want %q", test.line, test.width, got, test.want)
		}
	}
}

func TestPaint(t *testing.T) {
	if got := (&terminalView{color: true}).paint(red, "no"); got != "\x1b[31mno\x1b[0m" {
		t.Errorf("with colour: %q", got)
	}
	if got := (&terminalView{}).paint(red, "no"); got != "no" {
		t.Errorf("without: %q", got)
	}
}
