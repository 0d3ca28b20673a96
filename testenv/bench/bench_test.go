package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTableShowsWhatWasMeasured(t *testing.T) {
	cases := []struct {
		name   string
		result Result
		cell   string
	}{
		{"odd", Result{Unit: Seconds, Values: []float64{0.5, 0.2, 0.3}}, "0.20 / **0.30** / 0.50 s"},
		{"even", Result{Unit: Seconds, Values: []float64{4, 1, 2, 3}}, "1.00 / **2.50** / 4.00 s"},
		{"milliseconds", Result{Unit: Seconds, Values: []float64{0.0412, 0.0401, 0.2}}, "40.1 / **41.2** / 200.0 ms"},
		{"one", Result{Unit: Bytes, Values: []float64{19.56e6}}, "19.6 MB"},
		{"missed", Result{Unit: Seconds, Values: []float64{2}, Limit: 1.5}, "2.00 s (missed)"},
		{"note", Result{Unit: Count, Values: []float64{0}, Limit: 0.5, Note: "of 4000"}, "0; of 4000"},
		{"skipped", Result{Skipped: "crun is not installed"}, "not measured: crun is not installed"},
		{"failed", Result{Error: "exit 1\nmore | text"}, "failed: exit 1"},
	}
	for _, c := range cases {
		c.result.complete(0)
		if got := c.result.cell(); got != c.cell {
			t.Errorf("%s: %q, want %q", c.name, got, c.cell)
		}
	}
	report := newReport(5)
	report.Results = []Result{{Measure: "`exec`", Aim: "0.25 s", Unit: Seconds, Values: []float64{0.2}}}
	report.Results[0].complete(0.04)
	report.end(nil)
	var table bytes.Buffer
	if err := report.Markdown(&table); err != nil {
		t.Fatal(err)
	}
	if want := "| `exec` | – | 0.25 s | 0.20 s | 5.0 |\n"; !strings.HasSuffix(table.String(), want) || !strings.Contains(table.String(), "Linux ") {
		t.Errorf("%s\nwant its last line to be %q", table.String(), want)
	}
	if report.Failed() {
		t.Error("a report without faults counts as failed")
	}
}

// TestReportTellsOfTheMachine has a machine that is idle, one that works before
// anything is measured, and one whose host takes processors away.
func TestReportTellsOfTheMachine(t *testing.T) {
	const warning = "The machine was busy"
	cases := []struct {
		name           string
		before, during Use
		busy           bool
	}{
		{"idle before, working during", Use{Busy: 0.01}, Use{Busy: 0.9}, false},
		{"working before", Use{Busy: 0.4}, Use{Busy: 0.9}, true},
		{"taken away before", Use{Stolen: 0.1}, Use{}, true},
		{"taken away during", Use{}, Use{Busy: 0.5, Stolen: 0.03}, true},
	}
	for _, c := range cases {
		report := newReport(5)
		report.Before, report.During = c.before, c.during
		report.leftOut = []string{"exec", "fleet"}
		report.Results = []Result{{Row: "pull", Measure: "pull", Machine: Use{Stolen: 0.051}, Skipped: "there is no registry"}}
		var table bytes.Buffer
		if err := report.Markdown(&table); err != nil {
			t.Fatal(err)
		}
		if busy := strings.Contains(table.String(), warning); busy != c.busy {
			t.Errorf("%s: it warns: %v\n%s", c.name, busy, table.String())
		}
		for _, want := range []string{"at most 5.1 % (pull)", "not measured: there is no registry", "Not asked for, and so not measured: exec, fleet.", "`runc run` could not be measured here"} {
			if !strings.Contains(table.String(), want) {
				t.Errorf("%s: the table lacks %q\n%s", c.name, want, table.String())
			}
		}
	}
}

func TestUseOfProcessors(t *testing.T) {
	before, err := parseTicks("cpu  100 0 50 800 50 0 0 10 5 5\ncpu0 …\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseTicks("cpu  130 0 60 840 60 0 0 20 5 5\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.since(before), (Use{Busy: 0.4, Stolen: 0.1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := parseTicks("cpu 1 2 3\n"); err == nil {
		t.Error("a line that is cut off is no error")
	}
}

// TestDataStaysTheSame pins what is deployed: figures of different days and
// machines are of the same bytes.
func TestDataStaysTheSame(t *testing.T) {
	b := make([]byte, 1<<16)
	fill(b, "base")
	sum := sha256.Sum256(b)
	if got, want := hex.EncodeToString(sum[:8]), "74fb14d69c41c4f8"; got != want {
		t.Errorf("the base image's bytes are %s, and were %s", got, want)
	}
}

func TestChangeIsOneVersion(t *testing.T) {
	a := &app{dir: t.TempDir(), program: []byte("\x7fELF…" + placeholder + "…end"), at: len("\x7fELF…")}
	for n := 1; n <= 2; n++ {
		version, err := a.change()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(a.dir, "web"))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("\x7fELF…version-%06d…end", n); string(got) != want || !strings.Contains(want, version) {
			t.Errorf("change %d, %s: %q, want %q", n, version, got, want)
		}
	}
}

func TestSelect(t *testing.T) {
	for pattern, want := range map[string]int{".": len(Rows()), "^noop": 2, "^exec$": 1, "^docker": 6, "none": 0} {
		if got := len(Select(Rows(), regexp.MustCompile(pattern))); got != want {
			t.Errorf("%s selects %d rows, want %d", pattern, got, want)
		}
	}
}

// TestLiveIsWhenTheLastHostServes has a host that changes at once, and one
// that changes after the third question.
func TestLiveIsWhenTheLastHostServes(t *testing.T) {
	var asked atomic.Int64
	serve := func(after int64) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			version := "version-000002"
			if after > 0 && asked.Add(1) <= after {
				version = "version-000001"
			}
			fmt.Fprintf(w, "%s on web-1\n", version)
		}))
		t.Cleanup(server.Close)
		return strings.TrimPrefix(server.URL, "http://")
	}
	began := time.Now()
	wait := awaitVersion(t.Context(), []string{serve(0), serve(3)}, "version-000002")
	at, err := wait()
	if err != nil || asked.Load() != 4 || at.Before(began) || at.After(time.Now()) {
		t.Errorf("live %s after the start, after %d questions: %v", at.Sub(began), asked.Load(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wait = awaitVersion(ctx, []string{serve(0)}, "version-000009")
	cancel()
	if _, err := wait(); err == nil {
		t.Error("a version that never comes is not an error")
	}
}

func TestOwnMemoryIsProportional(t *testing.T) {
	size, err := proportional(os.Getpid())
	if err != nil || size < 1e6 || size > 1e9 {
		t.Errorf("this test uses %s: %v", Bytes.text(size), err)
	}
	if most := highWater(os.Getpid()); float64(most) < size/2 {
		t.Errorf("it has used %d bytes at most, and uses %.0f now", most, size)
	}
	if highWater(1<<30) != 0 {
		t.Error("a process that is not there has used memory")
	}
}
