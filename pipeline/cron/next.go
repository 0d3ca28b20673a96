package cron

import (
	"slices"
	"time"
)

// mostShift is the largest change of a clock that is one of summer time or a
// correction.
const mostShift = 3 * time.Hour

// horizon is how many days ahead Next looks. The 29th of February is away for at
// most eight years, around 2100.
const horizon = 9 * 366

// Next returns the first time after another at which the schedule runs, in a
// time zone; zero if it never does.
func (s *Schedule) Next(after time.Time, zone *time.Location) time.Time {
	after = after.In(zone)
	y, m, d := after.Date()
	var found time.Time
	// From the day before, whose last hour may come again after midnight.
	for i := -1; i < horizon; i++ {
		day := time.Date(y, m, d+i, 0, 0, 0, 0, time.UTC)
		if !found.IsZero() {
			// The next day may begin before this one's last hour comes again.
			return earliest(found, s.nextOn(day, after, zone))
		}
		found = s.nextOn(day, after, zone)
	}
	return found
}

// nextOn is Next on one day of the calendar, which is written as if it were UTC.
func (s *Schedule) nextOn(day, after time.Time, zone *time.Location) (found time.Time) {
	if !s.allows(day) {
		return found
	}
	for hour := range 24 {
		if !s.hour.has(hour) {
			continue
		}
		for minute := range 60 {
			if !s.minute.has(minute) {
				continue
			}
			wall := day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
			for _, t := range s.instants(wall, zone) {
				if t.After(after) {
					found = earliest(found, t)
				}
			}
		}
	}
	return found
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (s *Schedule) allows(day time.Time) bool {
	if !s.month.has(int(day.Month())) {
		return false
	}
	inMonth, inWeek := s.day.has(day.Day()), s.weekday.has(int(day.Weekday()))
	if s.bothDays {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// instants returns when a time that the schedule names comes on a wall clock,
// which is written as if it were UTC: mostly once, in spring perhaps never, in
// autumn perhaps twice.
func (s *Schedule) instants(wall time.Time, zone *time.Location) []time.Time {
	// No offset is larger than 14 hours, and no zone changes its twice in two days.
	before, after := offset(wall.Add(-24*time.Hour), zone), offset(wall.Add(24*time.Hour), zone)
	var found []time.Time
	for _, o := range []time.Duration{before, after} {
		t := wall.Add(-o).In(zone)
		if offset(t, zone) == o && !slices.ContainsFunc(found, t.Equal) {
			found = append(found, t)
		}
	}
	shift := (after - before).Abs()
	switch {
	case s.follows || shift > mostShift:
		return found
	case len(found) == 0: // the time after the gap, when the new offset begins
		start, _ := wall.Add(-before).In(zone).ZoneBounds()
		return []time.Time{start}
	case len(found) == 2:
		return []time.Time{earliest(found[0], found[1])}
	}
	return found
}

func offset(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
