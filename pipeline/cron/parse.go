package cron

import (
	"fmt"
	"strconv"
	"strings"
)

// Schedule is five fields. Each is a set of the values that it allows.
type Schedule struct {
	minute, hour, day, month, weekday set
	// A day matches where both its fields do, if one begins with *; otherwise
	// where one of them does (crontab(5)).
	bothDays bool
	follows  bool // its minute or hour begins with *
}

// set has bit n for value n.
type set uint64

func (s set) has(n int) bool { return s&(1<<n) != 0 }

// field is what one of the five may hold.
type field struct {
	name     string
	min, max int
	words    []string // names of min, min+1, …
}

var fields = [...]field{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, words: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{name: "day of week", max: 7, words: strings.Fields("sun mon tue wed thu fri sat")},
}

// Parse reads five fields: crontab(5), without its names for whole schedules.
// The error is a sentence's end: what is wrong, and what to write instead.
func Parse(text string) (*Schedule, error) {
	words := strings.Fields(text)
	if len(words) != len(fields) {
		return nil, fmt.Errorf(`%q is not five cron fields: minute, hour, day of month, month, day of week, such as "0 3 * * *"`, text)
	}
	var sets [len(fields)]set
	for i, f := range fields {
		var err error
		if sets[i], err = f.parse(words[i]); err != nil {
			return nil, fmt.Errorf("%s %q: %w", f.name, words[i], err)
		}
	}
	if sets[4].has(7) { // both are Sunday
		sets[4] |= 1
	}
	star := func(i int) bool { return words[i][0] == '*' }
	s := &Schedule{sets[0], sets[1], sets[2], sets[3], sets[4], star(2) || star(4), star(0) || star(1)}
	if !s.comes() {
		return nil, fmt.Errorf("%q never comes: no month that it names has that day", text)
	}
	return s, nil
}

// comes says whether there is a day that the schedule allows. Weekdays come in
// each month.
func (s *Schedule) comes() bool {
	if !s.bothDays {
		return true
	}
	for month, days := range []int{1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31} {
		if s.month.has(month) && s.day&(1<<(days+1)-1) != 0 {
			return true
		}
	}
	return false
}

func (f field) parse(text string) (set, error) {
	var all set
	for part := range strings.SplitSeq(text, ",") {
		one, err := f.parsePart(part)
		if err != nil {
			return 0, err
		}
		all |= one
	}
	return all, nil
}

// parsePart reads *, N or N-M, each with /STEP but N alone.
func (f field) parsePart(text string) (set, error) {
	span, stepText, hasStep := strings.Cut(text, "/")
	low, high := f.min, f.max
	if span != "*" {
		lowText, highText, isRange := strings.Cut(span, "-")
		var err error
		if low, err = f.value(lowText); err != nil {
			return 0, err
		}
		high = low
		if isRange {
			if high, err = f.value(highText); err != nil {
				return 0, err
			}
		} else if hasStep {
			return 0, fmt.Errorf("a step needs a range: write %s-%d/%s", lowText, f.max, stepText)
		}
		if high < low {
			return 0, fmt.Errorf("a range does not go over the end: write %d-%d,%d-%d", low, f.last(), f.min, high)
		}
	}
	step := 1
	if hasStep {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > f.max {
			return 0, fmt.Errorf("%q is no step from 1 to %d", stepText, f.max)
		}
	}
	if span == "*" {
		high = f.last()
	}
	var out set
	for n := low; n <= high; n += step {
		out |= 1 << n
	}
	return out, nil
}

// last is the highest value without Sunday's second number.
func (f field) last() int {
	if f.name == "day of week" {
		return 6
	}
	return f.max
}

func (f field) value(text string) (int, error) {
	for i, word := range f.words {
		if strings.EqualFold(text, word) {
			return f.min + i, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < f.min || n > f.max || text[0] == '+' {
		return 0, fmt.Errorf("%q is not from %d to %d", text, f.min, f.max)
	}
	return n, nil
}
