package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dray/targets/api"
)

// Report is the whole table, and where it was measured.
type Report struct {
	Date        time.Time `json:"date"`
	Version     string    `json:"version"` // of the checkout
	CPU         string    `json:"cpu"`
	CPUs        int       `json:"cpus"`
	Kernel      string    `json:"kernel"`
	LoadBefore  float64   `json:"load_before"` // the machine's, averaged over a minute
	LoadAfter   float64   `json:"load_after"`
	Before      Use       `json:"machine_before"` // before the lab was made
	During      Use       `json:"machine_during"`
	RuncRun     float64   `json:"runc_run_seconds,omitempty"` // the median of runc run in this run; 0: not known
	Count       int       `json:"count"`                      // runs of each measure
	Seconds     float64   `json:"seconds"`
	Interrupted bool      `json:"interrupted,omitempty"`
	Results     []Result  `json:"results"`

	leftOut []string // names of rows that nobody asked for
	failed  error    // what kept it from being whole, beside its rows
}

func newReport(count int) *Report {
	return &Report{
		Date: time.Now(), Version: api.BuildVersion, CPU: cpuModel(), CPUs: runtime.NumCPU(), Kernel: kernel(),
		LoadBefore: loadAverage(), Count: count,
	}
}

func (r *Report) end(err error) {
	r.LoadAfter, r.Seconds, r.failed = loadAverage(), time.Since(r.Date).Seconds(), err
}

// Failed tells if a row could not be measured.
func (r *Report) Failed() bool {
	for _, one := range r.Results {
		if one.Error != "" {
			return true
		}
	}
	return r.Interrupted || r.failed != nil
}

// JSON writes the report as one object.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Markdown writes the table, with notes around it.
func (r *Report) Markdown(w io.Writer) error {
	var t strings.Builder
	fmt.Fprintf(&t, "%s, %d × %s, Linux %s; %d runs each; measured: min / median / max.\n%s\n%s\n\n",
		r.Date.Format("2006-01-02"), r.CPUs, r.CPU, r.Kernel, r.Count, r.machine(), r.lastColumn())
	t.WriteString("| measure | people's tools today | aim | measured | × `runc run` |\n|---|---|---|---|---|\n")
	for _, one := range r.Results {
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", one.Measure, dash(one.Today), dash(one.Aim), one.cell(), one.times())
	}
	if len(r.leftOut) > 0 {
		fmt.Fprintf(&t, "\nNot asked for, and so not measured: %s.\n", strings.Join(r.leftOut, ", "))
	}
	if r.Interrupted {
		t.WriteString("\nInterrupted: the rest was not measured.\n")
	}
	if r.failed != nil {
		fmt.Fprintf(&t, "\nWhat the machine did is not known: %s.\n", r.failed)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

// machine says what the machine did beside it.
func (r *Report) machine() string {
	text := fmt.Sprintf("Before: load %.1f, processors busy %.0f %%, stolen %.1f %%. During: stolen %.1f %%", r.LoadBefore, 100*r.Before.Busy, 100*r.Before.Stolen, 100*r.During.Stolen)
	var worst Result
	for _, one := range r.Results {
		if one.Machine.Stolen > worst.Machine.Stolen {
			worst = one
		}
	}
	if worst.Row != "" {
		text += fmt.Sprintf(", at most %.1f %% (%s)", 100*worst.Machine.Stolen, worst.Row)
	}
	text += fmt.Sprintf("; load %.1f after.", r.LoadAfter)
	if r.Before.Busy > busyBefore || r.Before.Stolen > busyStolen || r.During.Stolen > busyStolen {
		text += " **The machine was busy with something else: compare multiples, not times.**"
	}
	return text
}

// lastColumn says what the last column is.
func (r *Report) lastColumn() string {
	if r.RuncRun == 0 {
		return "There is no last column: `runc run` could not be measured here."
	}
	return fmt.Sprintf("The last column is the median in multiples of `runc run` of a program that ends at once, whose median here was %s.", Seconds.text(r.RuncRun))
}

// times is the last column.
func (r *Result) times() string {
	switch {
	case r.Times == 0:
		return "–"
	case r.Times < 10:
		return strconv.FormatFloat(r.Times, 'f', 1, 64)
	}
	return strconv.FormatFloat(r.Times, 'f', 0, 64)
}

// cell is what the table shows as measured.
func (r *Result) cell() string {
	switch {
	case r.Error != "":
		first, _, _ := strings.Cut(r.Error, "\n")
		return "failed: " + strings.ReplaceAll(first, "|", "/")
	case r.Skipped != "":
		return "not measured: " + r.Skipped
	}
	text := r.Unit.text(r.Median)
	if len(r.Values) > 1 {
		low, high := r.Unit.number(r.Min, r.Median), r.Unit.number(r.Max, r.Median)
		text = fmt.Sprintf("%s / **%s** / %s%s", low, r.Unit.number(r.Median, r.Median), high, r.Unit.suffix(r.Median))
	}
	if r.Missed() {
		text += " (missed)"
	}
	if r.Note != "" {
		text += "; " + r.Note
	}
	return text
}

func (u Unit) text(v float64) string { return u.number(v, v) + u.suffix(v) }

// number writes v in the scale in which like is written.
func (u Unit) number(v, like float64) string {
	switch u {
	case Seconds:
		if like < 0.0995 {
			return strconv.FormatFloat(v*1000, 'f', 1, 64)
		}
		return strconv.FormatFloat(v, 'f', 2, 64)
	case Bytes:
		return strconv.FormatFloat(v/1e6, 'f', 1, 64)
	case Ratio:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func (u Unit) suffix(like float64) string {
	switch u {
	case Seconds:
		if like < 0.0995 {
			return " ms"
		}
		return " s"
	case Bytes:
		return " MB"
	case Ratio:
		return " ×"
	}
	return ""
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// cpuModel is the processor's name, or its architecture.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // without it the architecture must do
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func loadAverage() float64 {
	text, _ := os.ReadFile("/proc/loadavg") // 0 where there is none
	first, _, _ := strings.Cut(string(text), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

// Line is the result in one line of plain text.
func (r *Result) Line() string {
	if r.Error != "" {
		return r.Measure + ": " + r.Error
	}
	return r.Measure + ": " + strings.NewReplacer("**", "").Replace(r.cell())
}
