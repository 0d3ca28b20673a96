package bench

import (
	"slices"
)

// Unit says what a result's values are.
type Unit string

// Units.
const (
	Seconds Unit = "s"
	Bytes   Unit = "B"
	Count   Unit = "" // of anything; the measure says of what
	Ratio   Unit = "×"
)

// Result is one line of the table.
type Result struct {
	Row     string    `json:"row"`     // its name, by which rows are selected
	Measure string    `json:"measure"` // what was measured
	Today   string    `json:"today"`   // what people's tools take (DESIGN §14)
	Aim     string    `json:"aim"`
	Limit   float64   `json:"limit,omitempty"` // the aim as a number, in Unit; 0: none
	Unit    Unit      `json:"unit"`
	Values  []float64 `json:"values,omitempty"` // in the order in which they were measured
	Min     float64   `json:"min"`
	Median  float64   `json:"median"`
	Max     float64   `json:"max"`
	Times   float64   `json:"times_runc_run,omitempty"`     // the median, in medians of runc run
	Machine Use       `json:"machine"`                      // while the row was measured
	CPU     float64   `json:"client_cpu_seconds,omitempty"` // median of what the client itself used
	RSS     float64   `json:"client_max_rss_bytes,omitempty"`
	Note    string    `json:"note,omitempty"`
	Skipped string    `json:"skipped,omitempty"` // why there are no values
	Error   string    `json:"error,omitempty"`
}

// Missed tells if the median is worse than the aim.
func (r *Result) Missed() bool { return r.Limit > 0 && r.Median > r.Limit }

// complete works out what the values say. runcRun is what that takes, in
// seconds; 0: not known.
func (r *Result) complete(runcRun float64) {
	if len(r.Values) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(r.Values))
	r.Min, r.Median, r.Max = sorted[0], median(sorted), sorted[len(sorted)-1]
	if r.Unit == Seconds && runcRun > 0 {
		r.Times = r.Median / runcRun
	}
}

// median is that of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// series gathers runs of the client.
type series struct {
	wall, cpu, rss []float64
}

func (s *series) add(r run) {
	s.wall = append(s.wall, r.Wall.Seconds())
	s.cpu = append(s.cpu, r.CPU.Seconds())
	s.rss = append(s.rss, float64(r.RSS))
}

// result is the wall times of the series as a line of the table.
func (s *series) result(measure, today, aim string, limit float64) Result {
	return Result{
		Measure: measure, Today: today, Aim: aim, Limit: limit, Unit: Seconds, Values: s.wall,
		CPU: median(slices.Sorted(slices.Values(s.cpu))), RSS: slices.Max(s.rss),
	}
}
