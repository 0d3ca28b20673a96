package load

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Report is what a client saw.
type Report struct {
	Sent, Failed int
	Errors       map[string]int // what failures said → how often
	Answers      map[string]int // first 64 bytes of answers, to the end of a line → how often
	FirstFailure time.Time      // zero: none failed
	LastFailure  time.Time
	LastLost     time.Time     // when the last of those that failed was due
	Took         time.Duration // from the first to the last
	Truncated    bool          // the limit on the count ended it, not Stop

	latencies []time.Duration // of what did not fail, sorted
}

// Percentile gives the latency that p (0 to 100) percent of the answers did
// not exceed; 0 if there were none.
func (r Report) Percentile(p float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	n := int(p / 100 * float64(len(r.latencies)))
	return r.latencies[min(n, len(r.latencies)-1)]
}

// String is one line for a person, and one for each kind of error.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sent in %.1f s, %d failed; latency p50 %v p99 %v max %v",
		r.Sent, r.Took.Seconds(), r.Failed, round(r.Percentile(50)), round(r.Percentile(99)), round(r.Percentile(100)))
	for _, text := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(&b, "\n%6d × %s", r.Errors[text], text)
	}
	return b.String()
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// tally collects outcomes from many goroutines.
type tally struct {
	mu     sync.Mutex
	report Report
}

// errSkipped is of an exchange that did not take place; it is not counted.
var errSkipped = errors.New("skipped")

func (t *tally) add(due time.Time, answer string, err error) {
	if errors.Is(err, errSkipped) {
		return
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.report
	if r.Errors == nil {
		r.Errors, r.Answers = map[string]int{}, map[string]int{}
	}
	r.Sent++
	if err == nil {
		r.latencies = append(r.latencies, now.Sub(due))
		r.Answers[answer]++
		return
	}
	r.Failed++
	r.Errors[err.Error()]++
	if r.FirstFailure.IsZero() {
		r.FirstFailure = now
	}
	r.LastFailure = now
	if due.After(r.LastLost) {
		r.LastLost = due
	}
}

// soFar gives a copy that stays as it is.
func (t *tally) soFar() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.report
	r.Errors, r.Answers = maps.Clone(r.Errors), maps.Clone(r.Answers)
	r.latencies = slices.Sorted(slices.Values(r.latencies))
	return r
}

// head is the start of an answer, by which answers are told apart.
func head(body []byte) string {
	line, _, _ := strings.Cut(string(body[:min(len(body), 64)]), "\n")
	return line
}
