package ui

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
)

// Conclusion says what runs where now.
func Conclusion(err error, done ...*pipeline.Deployed) event.Event {
	if err != nil || len(done) == 0 {
		return event.Event{}
	}
	var lines []string
	unchanged := true
	for _, d := range done {
		unchanged = unchanged && d.Unchanged
	}
	last := done[len(done)-1]
	same := !slices.ContainsFunc(done, func(d *pipeline.Deployed) bool {
		return d.Release.ReleaseNumber() != last.Release.ReleaseNumber() || Images(d) != Images(last)
	})
	if same {
		var names []string
		for _, d := range done {
			names = append(names, d.Release.Environment)
		}
		lines = append(lines, sentence(names, last))
	} else {
		for _, d := range done {
			lines = append(lines, sentence([]string{d.Release.Environment}, d))
		}
	}
	text := strings.Join(lines, "\n")
	if unchanged {
		text += " Nothing to do."
	}
	return event.Event{Text: text, Release: last.Release.Number, Revision: last.Release.Revision, Digest: firstDigest(last)}
}

func sentence(envs []string, d *pipeline.Deployed) string {
	if d.Release.Number == 0 {
		return phrase.List(envs) + fmt.Sprintf(" runs nothing again; release %s is gone.", d.From)
	}
	verb := " runs "
	if len(envs) > 1 {
		verb = " run "
	}
	return phrase.List(envs) + verb + Images(d) + fmt.Sprintf(" (release %s).", d.Release.ReleaseNumber())
}

// Images names each service with its image, shortened.
func Images(d *pipeline.Deployed) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(d.Release.Images)) {
		if !strings.HasPrefix(key, "task.") {
			parts = append(parts, key+" "+phrase.Digest(d.Release.Images[key].Digest))
		}
	}
	return strings.Join(parts, ", ")
}

func firstDigest(d *pipeline.Deployed) string {
	for _, key := range slices.Sorted(maps.Keys(d.Release.Images)) {
		return d.Release.Images[key].Digest
	}
	return ""
}

// PartlyShipped is a walk over several environments that failed at one of
// them: those before it run what was shipped.
type PartlyShipped struct {
	Done []*pipeline.Deployed
	Err  error
}

func (e *PartlyShipped) Error() string { return e.Err.Error() }

// Unwrap returns the failure.
func (e *PartlyShipped) Unwrap() error { return e.Err }

// Hint says what was shipped before it failed.
func (e *PartlyShipped) Hint() pipeline.Hint {
	return pipeline.Hint{Conclusion: phrase.Words(Conclusion(nil, e.Done...).Text, pipeline.HintOf(e.Err).Conclusion)}
}
