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
	Count       int       `json:"count"` // runs of each measure
	Seconds     float64   `json:"seconds"`
	Interrupted bool      `json:"interrupted,omitempty"`
	Results     []Result  `json:"results"`
}

func newReport(count int) *Report {
	return &Report{
		Date: time.Now(), Version: api.BuildVersion, CPU: cpuModel(), CPUs: runtime.NumCPU(), Kernel: kernel(),
		LoadBefore: loadAverage(), Count: count,
	}
}

func (r *Report) end() {
	r.LoadAfter, r.Seconds = loadAverage(), time.Since(r.Date).Seconds()
}

// Failed tells if a row could not be measured.
func (r *Report) Failed() bool {
	for _, one := range r.Results {
		if one.Error != "" {
			return true
		}
	}
	return r.Interrupted
}

// JSON writes the report as one object.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Markdown writes the table, with notes below it.
func (r *Report) Markdown(w io.Writer) error {
	var t strings.Builder
	fmt.Fprintf(&t, "%s, %d × %s, Linux %s; load %.1f before, %.1f after; %d runs each; measured: min / median / max.\n\n",
		r.Date.Format("2006-01-02"), r.CPUs, r.CPU, r.Kernel, r.LoadBefore, r.LoadAfter, r.Count)
	t.WriteString("| measure | people's tools today | aim | measured |\n|---|---|---|---|\n")
	for _, one := range r.Results {
		fmt.Fprintf(&t, "| %s | %s | %s | %s |\n", one.Measure, dash(one.Today), dash(one.Aim), one.cell())
	}
	if r.Interrupted {
		t.WriteString("\nInterrupted: the rest was not measured.\n")
	}
	_, err := io.WriteString(w, t.String())
	return err
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
