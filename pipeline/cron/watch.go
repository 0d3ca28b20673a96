package cron

import "time"

// slept is how much may pass between two looks without anything odd: whoever
// looks does so each minute.
const slept = 5 * time.Minute

// Watch follows the host's clock through sleep, corrections and faults. The zero
// Watch has not looked yet.
type Watch struct {
	seen     time.Time // at the last look
	furthest time.Time // that was ever seen, unless the clock was wrong
}

// Span is what has passed: a schedule is due that runs after its own start and
// not after its end.
type Span struct{ follows, fixed, end time.Time }

// Look returns what has passed since the last look. At the first that is
// nothing: what a host that was down has missed is not made up for.
func (w *Watch) Look(now time.Time) Span {
	now = now.Round(0) // the wall clock counts
	last, furthest := w.seen, w.furthest
	if last.IsZero() {
		last, furthest = now, now
	}
	thisMinute := now.Truncate(time.Minute).Add(-1)
	step := now.Sub(last)
	span := Span{follows: last, fixed: furthest, end: now}
	switch {
	case step > mostShift || furthest.Sub(now) > mostShift: // the clock was wrong
		span.follows, span.fixed, furthest = thisMinute, thisMinute, now
	case step > slept: // it slept, or was set forward
		span.follows = thisMinute
	case step < 0: // it was set back
		span.follows = now
	}
	w.seen = now
	if now.After(furthest) {
		furthest = now
	}
	w.furthest = furthest
	return span
}

// Due says whether a schedule's time has come in a span. What passed before
// since does not count: it belongs to another release.
func (s *Schedule) Due(span Span, since time.Time, zone *time.Location) bool {
	start := span.fixed
	if s.follows {
		start = span.follows
	}
	if since.After(start) {
		start = since
	}
	next := s.Next(start, zone)
	return !next.IsZero() && !next.After(span.end)
}
