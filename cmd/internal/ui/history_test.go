package ui

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/targets/api"
)

func TestHistoryNamesRevisions(t *testing.T) {
	inUTC(t)
	var out bytes.Buffer
	record := func(n, from pipeline.ReleaseNumber) environment.HistoryLine {
		return environment.HistoryLine{Record: api.Record{ReleaseRef: api.RefTo(n), FromRef: api.RefFrom(from)}}
	}
	first, second := pipeline.ReleaseNumber{Number: 42}, pipeline.ReleaseNumber{Number: 42, Revision: 1}
	err := PrintHistory(&out, []environment.HistoryLine{record(first, second), record(second, first), record(first, pipeline.ReleaseNumber{}), record(second, second)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		if columns := strings.Split(line, "   "); !strings.HasPrefix(line, "WHEN") {
			got = append(got, strings.TrimSpace(columns[1]))
		}
	}
	if want := []string{"42.1 → 42", "42 → 42.1", "42", "42.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
