// Package cron says when a schedule of five fields runs: minute, hour, day of
// month, month, day of week, as crontab(5) writes them.
//
// Next is the calendar; Watch is the clock of the host, which may sleep and be
// set. Both follow Vixie's rule, which tells two kinds of schedules apart:
//
//	          minute or hour begins with *      neither does: a fixed time
//	spring    an hour is missing: no run        runs right after the gap, once
//	autumn    an hour comes twice: runs in both runs in the first, once
//	clock     follows it                        nothing is left out or repeated
//
// A change of more than three hours is no summer time and no correction: the
// clock was wrong, or the zone moved across the date line. Both kinds follow it.
//
// Not here: what runs. Parsed by hand (2026-11): the libraries that exist refuse
// 7 for Sunday, or accept what crontab(5) does not know, and none says which
// field is wrong and why.
package cron
