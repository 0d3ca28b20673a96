package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Times measured on a machine that others use at the same time are theirs as
// much as dray's. So the report says what the machine did before anything was
// measured, and what its host took away while it was.

// ticks are times of all processors together since the machine's boot, in
// clock ticks (the first line of /proc/stat, proc_stat(5)).
type ticks struct{ all, idle, stolen uint64 }

func readTicks() (ticks, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}, err
	}
	return parseTicks(string(text))
}

// parseTicks adds up user, nice, system, idle, iowait, irq, softirq and steal.
// What follows them is in user and nice already.
func parseTicks(text string) (t ticks, err error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return t, fmt.Errorf("reading /proc/stat: %q", line)
	}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return t, fmt.Errorf("reading /proc/stat: %w", err)
		}
		t.all += n
		switch i {
		case 3, 4:
			t.idle += n
		case 7:
			t.stolen += n
		}
	}
	return t, nil
}

// Use is what the processors did for a while, in parts of one.
type Use struct {
	Busy   float64 `json:"busy"`   // worked, for whomever
	Stolen float64 `json:"stolen"` // wanted to, while the machine's host did something else
}

// since is the use between two readings.
func (t ticks) since(before ticks) Use {
	all := float64(t.all - before.all)
	if all == 0 {
		return Use{}
	}
	stolen := float64(t.stolen - before.stolen)
	return Use{Busy: (all - float64(t.idle-before.idle) - stolen) / all, Stolen: stolen / all}
}

// Bounds above which the report calls the machine busy.
const (
	busyBefore = 0.1
	busyStolen = 0.02
)

// observation is how long the machine is looked at before anything is done.
const observation = 3 * time.Second

// observe looks at what the machine does by itself.
func observe(ctx context.Context) (Use, error) {
	before, err := readTicks()
	if err != nil {
		return Use{}, err
	}
	select {
	case <-ctx.Done():
		return Use{}, context.Cause(ctx)
	case <-time.After(observation):
	}
	after, err := readTicks()
	return after.since(before), err
}

// watch follows the machine from row to row.
type watch struct {
	first, last ticks
	err         error
}

func startWatch() *watch {
	now, err := readTicks()
	return &watch{first: now, last: now, err: err}
}

// lap is the use since the lap before, and since the start.
func (w *watch) lap() (lap, whole Use) {
	now, err := readTicks()
	if w.err = errors.Join(w.err, err); w.err != nil {
		return Use{}, Use{}
	}
	lap, whole = now.since(w.last), now.since(w.first)
	w.last = now
	return lap, whole
}
