package ui

import (
	"io"
	"strings"
	"time"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// PrintHistory lists deployments, newest first.
func PrintHistory(w io.Writer, lines []environment.HistoryLine) error {
	return historyTable(lines).Print(w)
}

func historyTable(lines []environment.HistoryLine) *Table {
	t := &Table{
		Header: []string{"WHEN", "RELEASE", "WHAT", "RESULT", "TOOK", "WHO", "HOSTS", "SOURCE", "NOTE"},
		Spare:  []string{"SOURCE", "TOOK", "HOSTS", "WHO"},
		Note:   "NOTE",
	}
	for _, l := range lines {
		release, from := l.ReleaseNumber().String(), l.FromNumber()
		if l.Release == 0 {
			release = "-"
		}
		if from.Known() && from != l.ReleaseNumber() {
			release = from.String() + " → " + release
		}
		t.Add(l.Started.Local().Format(time.DateTime), release, l.Kind, l.Result, phrase.Seconds(l.Ended.Sub(l.Started).Seconds()),
			who(l.Actor), strings.Join(l.Hosts, ","), sourceNote(l.Source), historyNote(l.Record))
	}
	return t
}

// who names an actor with their machine.
func who(a pipeline.Actor) string {
	if !a.Identity.Known() {
		return a.User + "@" + a.Machine
	}
	return a.Who() + " on " + a.Machine
}

func sourceNote(s pipeline.Source) string {
	text := s.Commit[:min(7, len(s.Commit))]
	if s.Dirty {
		text += "+"
	}
	return text
}

func historyNote(r api.Record) string {
	note := r.Reason
	if r.Approval != nil {
		note = phrase.Words(note, "approved by "+r.Approval.By.Who())
	}
	if len(r.Skipped) > 0 {
		note = phrase.Words(note, "without "+strings.Join(r.Skipped, ", "))
	}
	return note
}
