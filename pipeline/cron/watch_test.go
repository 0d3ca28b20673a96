package cron_test

import (
	"testing"
	"time"

	"dray/pipeline/cron"
)

// TestWatch sets and stops the clock, and counts the runs of a schedule of each
// kind.
func TestWatch(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 20, 0, time.UTC)
	fixed, follows := parse(t, "10 12 * * *"), parse(t, "*/10 * * * *")
	// each looks at every minute from one time to another.
	each := func(from, to time.Time) (all []time.Time) {
		for at := from; !at.After(to); at = at.Add(time.Minute) {
			all = append(all, at)
		}
		return all
	}
	minutes := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	for _, x := range []struct {
		name           string
		looks          [][]time.Time
		fixed, follows int
	}{
		{"nothing odd", [][]time.Time{each(minutes(0), minutes(30))}, 1, 3},
		{"a first look after the time", [][]time.Time{each(minutes(11), minutes(15))}, 0, 0},
		{"a look that is late", [][]time.Time{{minutes(0), minutes(4), minutes(9), minutes(13)}}, 1, 1},
		{"asleep over the time", [][]time.Time{{minutes(0)}, each(minutes(25), minutes(40))}, 1, 2},
		{"woken at a time", [][]time.Time{{minutes(0), minutes(40)}}, 1, 1},
		{"asleep for long", [][]time.Time{{minutes(0)}, each(minutes(250), minutes(265))}, 0, 2},
		{"set back over the time", [][]time.Time{each(minutes(0), minutes(15)), each(minutes(5), minutes(15))}, 1, 2},
		{"set back and forward by seconds", [][]time.Time{each(minutes(0), minutes(10)), {minutes(10).Add(-40 * time.Second), minutes(10)}}, 1, 2},
		{"set back by a day", [][]time.Time{each(minutes(0), minutes(15)), each(minutes(-24*60), minutes(-24*60+15))}, 2, 3},
		{"a wrong clock that is mended", [][]time.Time{{minutes(60 * 24 * 365)}, each(minutes(0), minutes(15))}, 1, 2},
	} {
		var w cron.Watch
		var ran, followed int
		for _, looks := range x.looks {
			for _, now := range looks {
				span := w.Look(now)
				if fixed.Due(span, time.Time{}, time.UTC) {
					ran++
				}
				if follows.Due(span, time.Time{}, time.UTC) {
					followed++
				}
			}
		}
		if ran != x.fixed || followed != x.follows {
			t.Errorf("%s: a fixed time ran %d times, one that follows the clock %d; want %d and %d", x.name, ran, followed, x.fixed, x.follows)
		}
	}
}

// TestDueSince: what passed before a release came is none of its tasks'.
func TestDueSince(t *testing.T) {
	var w cron.Watch
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	w.Look(noon.Add(-30 * time.Second))
	span := w.Look(noon.Add(30 * time.Second))
	s := parse(t, "0 12 * * *")
	if s.Due(span, noon.Add(10*time.Second), time.UTC) || !s.Due(span, noon.Add(-10*time.Second), time.UTC) {
		t.Error("the release's own time does not count")
	}
}
