package cron_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"dray/pipeline/cron"
)

func load(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func parse(t *testing.T, text string) *cron.Schedule {
	t.Helper()
	s, err := cron.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// runs lists when a schedule runs, as a wall clock and its offset show it.
func runs(s *cron.Schedule, from, to time.Time, zone *time.Location) (all []string) {
	for at := s.Next(from, zone); !at.IsZero() && at.Before(to); at = s.Next(at, zone) {
		all = append(all, at.In(zone).Format("02 15:04 -0700"))
	}
	return all
}

// TestNights: what runs in the nights in which clocks are changed.
func TestNights(t *testing.T) {
	for _, x := range []struct {
		zone, night, schedule string // night is the first of two days
		want                  []string
	}{
		{"Europe/Berlin", "2026-03-28", "30 2 * * *", []string{"28 02:30 +0100", "29 03:00 +0200"}},
		{"Europe/Berlin", "2026-03-28", "0,30 2 * * *", []string{"28 02:00 +0100", "28 02:30 +0100", "29 03:00 +0200"}},
		{"Europe/Berlin", "2026-03-28", "30 3 * * *", []string{"28 03:30 +0100", "29 03:30 +0200"}},
		{"Europe/Berlin", "2026-03-29", "*/20 1-3 * * *", []string{
			"29 01:00 +0100", "29 01:20 +0100", "29 01:40 +0100", "29 03:00 +0200", "29 03:20 +0200", "29 03:40 +0200",
			"30 01:00 +0200", "30 01:20 +0200", "30 01:40 +0200", "30 02:00 +0200", "30 02:20 +0200", "30 02:40 +0200", "30 03:00 +0200", "30 03:20 +0200", "30 03:40 +0200"}},
		{"Europe/Berlin", "2026-10-24", "30 2 * * *", []string{"24 02:30 +0200", "25 02:30 +0200"}},
		{"Europe/Berlin", "2026-10-25", "30 * 25 10 *", nil}, // counted below
		{"America/New_York", "2026-03-07", "30 2 * * *", []string{"07 02:30 -0500", "08 03:00 -0400"}},
		{"America/New_York", "2026-10-31", "30 1 * * *", []string{"31 01:30 -0400", "01 01:30 -0400"}},
		{"Australia/Lord_Howe", "2026-10-03", "15 2 * * *", []string{"03 02:15 +1030", "04 02:30 +1100"}},
		{"Australia/Lord_Howe", "2026-04-04", "45 1 * * *", []string{"04 01:45 +1100", "05 01:45 +1100"}},
		{"Africa/Cairo", "2026-04-23", "30 0 * * *", []string{"23 00:30 +0200", "24 01:00 +0300"}},
		{"Africa/Cairo", "2026-04-23", "0 0 * * *", []string{"23 00:00 +0200", "24 01:00 +0300"}},
		{"Africa/Cairo", "2026-10-29", "30 23 * * *", []string{"29 23:30 +0300", "30 23:30 +0200"}},
		{"Asia/Kathmandu", "2026-03-28", "30 2 * * *", []string{"28 02:30 +0545", "29 02:30 +0545"}},
		{"Pacific/Apia", "2011-12-29", "0 12 * * *", []string{"29 12:00 -1000"}}, // the 30th was left out: no summer time
	} {
		zone := load(t, x.zone)
		from, err := time.ParseInLocation("2006-01-02", x.night, zone)
		if err != nil {
			t.Fatal(err)
		}
		got := runs(parse(t, x.schedule), from.Add(-1), from.AddDate(0, 0, 2), zone)
		if x.want == nil {
			if len(got) != 25 {
				t.Errorf("%s, %s: %d runs on a day of 25 hours: %v", x.zone, x.schedule, len(got), got)
			}
			continue
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s, %s: %v, want %v", x.zone, x.schedule, got, x.want)
		}
	}
}

// TestEveryNight compares with a clock that is watched minute by minute, over
// the days around every change of a year.
func TestEveryNight(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "America/Santiago"} {
		zone := load(t, name)
		for at, end := time.Date(2026, 1, 1, 0, 0, 0, 0, zone), time.Date(2027, 1, 1, 0, 0, 0, 0, zone); at.Before(end); {
			_, change := at.ZoneBounds()
			if change.IsZero() || change.After(end) {
				change = end
			}
			for _, text := range []string{"30 2 * * *", "0 0 * * *", "30 23 * * *", "0,15,30,45 1,2,3 * * *", "10 0-4 * * 0", "*/5 * * * *", "7 * * * *", "*/10 2 * * *"} {
				s := parse(t, text)
				from, to := change.Add(-36*time.Hour), change.Add(36*time.Hour)
				if got, want := runs(s, from, to, zone), watched(s, from, to, zone); !slices.Equal(got, want) {
					t.Errorf("%s, %s, around %s:\n got %v\nwant %v", name, text, change, got, want)
				}
			}
			at = change.Add(time.Minute)
		}
	}
}

// watched is Vixie's rule as a clock that is looked at each minute.
func watched(s *cron.Schedule, from, to time.Time, zone *time.Location) (all []string) {
	wall := func(t time.Time) time.Time {
		_, seconds := t.In(zone).Zone()
		return t.UTC().Add(time.Duration(seconds) * time.Second).Truncate(time.Minute)
	}
	matches := map[time.Time]bool{}
	for w := s.Next(from.Add(-48*time.Hour), time.UTC); w.Before(to.Add(48 * time.Hour)); w = s.Next(w, time.UTC) {
		matches[w] = true // no clock is changed there
	}
	furthest := wall(from)
	for at := from.Truncate(time.Minute).Add(time.Minute); at.Before(to); at = at.Add(time.Minute) {
		now, due := wall(at), false
		switch {
		case s.FollowsClock():
			due = matches[now]
		default:
			for w := furthest.Add(time.Minute); !w.After(now); w = w.Add(time.Minute) {
				due = due || matches[w]
			}
		}
		if now.After(furthest) {
			furthest = now
		}
		if due {
			all = append(all, at.In(zone).Format("02 15:04 -0700"))
		}
	}
	return all
}

func TestNext(t *testing.T) {
	zone := load(t, "Europe/Berlin")
	for _, x := range []struct{ schedule, after, want string }{
		{"0 3 * * *", "2026-11-22 01:00", "2026-11-22 03:00"},
		{"0 3 * * *", "2026-11-22 03:00", "2026-11-23 03:00"},
		{"30 6 * * 1", "2026-11-22 12:00", "2026-11-23 06:30"},
		{"30 6 * * mon-fri", "2026-11-20 12:00", "2026-11-23 06:30"},
		{"0 0 * * 7", "2026-11-21 12:00", "2026-11-22 00:00"},
		{"0 0 * * 5-7", "2026-11-21 12:00", "2026-11-22 00:00"},
		{"0 0 31 * *", "2026-11-01 00:00", "2026-12-31 00:00"},
		{"0 0 29 2 *", "2097-01-01 00:00", "2104-02-29 00:00"},
		{"0 0 13 * 5", "2026-11-21 12:00", "2026-11-27 00:00"},  // the 13th, or a Friday
		{"0 0 */2 * 1", "2026-11-21 12:00", "2026-11-23 00:00"}, // an odd day that is a Monday
		{"0 0 1-31/10 jan,dec *", "2026-11-22 10:07", "2026-12-01 00:00"},
		{"*/15 * * * *", "2026-11-22 10:07", "2026-11-22 10:15"},
		{"5-59/20 * * * *", "2026-11-22 10:26", "2026-11-22 10:45"},
	} {
		after, err := time.ParseInLocation("2006-01-02 15:04", x.after, zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, x.schedule).Next(after, zone).Format("2006-01-02 15:04"); got != x.want {
			t.Errorf("%s after %s: %s, want %s", x.schedule, x.after, got, x.want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"0 3 * *":      `"0 3 * *" is not five cron fields: minute, hour, day of month, month, day of week, such as "0 3 * * *"`,
		"@daily":       `"@daily" is not five cron fields: minute, hour, day of month, month, day of week, such as "0 3 * * *"`,
		"0 22-2 * * *": `hour "22-2": a range does not go over the end: write 22-23,0-2`,
		"0 0 * * 5-1":  `day of week "5-1": a range does not go over the end: write 5-6,0-1`,
		"60 * * * *":   `minute "60": "60" is not from 0 to 59`,
		"0 0 0 * *":    `day of month "0": "0" is not from 1 to 31`,
		"0 0 * foo *":  `month "foo": "foo" is not from 1 to 12`,
		"5/10 * * * *": `minute "5/10": a step needs a range: write 5-59/10`,
		"*/0 * * * *":  `minute "*/0": "0" is no step from 1 to 59`,
		"0 0 L * *":    `day of month "L": "L" is not from 1 to 31`,
		"0 0 30 2 *":   `"0 0 30 2 *" never comes: no month that it names has that day`,
		"0 0 31 4,6 *": `"0 0 31 4,6 *" never comes: no month that it names has that day`,
		"1,,2 * * * *": `minute "1,,2": "" is not from 0 to 59`,
		"+1 * * * *":   `minute "+1": "+1" is not from 0 to 59`,
		"-1 * * * *":   `minute "-1": "" is not from 0 to 59`,
		"*-5 * * * *":  `minute "*-5": "*" is not from 0 to 59`,
	} {
		if _, err := cron.Parse(text); fmt.Sprint(err) != want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("*/5 1-3,7 1 jan-mar sun")
	f.Add("0 0 31 2 7")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := cron.Parse(text)
		if err != nil {
			return
		}
		after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if next := s.Next(after, time.UTC); !next.After(after) {
			t.Errorf("%q never runs", text)
		}
	})
}
