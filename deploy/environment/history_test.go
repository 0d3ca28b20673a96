package environment

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dray/targets/api"
)

func TestMergeHistory(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 22, 10, minute, 0, 0, time.UTC) }
	of := func(number int) api.ReleaseRef { return api.ReleaseRef{Release: number} }
	var lines []HistoryLine
	lines = mergeHistory(lines, "p1", []api.Record{
		{Deployment: "b", ReleaseRef: of(2), Result: "reverted", Started: at(2)}, {Deployment: "a", ReleaseRef: of(1), Result: "confirmed", Started: at(1)},
	})
	lines = mergeHistory(lines, "p2", []api.Record{
		{Deployment: "c", ReleaseRef: of(3), Result: "confirmed", Started: at(3)}, {Deployment: "b", ReleaseRef: of(2), Result: "confirmed", Started: at(2)},
		{Deployment: "a", ReleaseRef: of(1), Result: "confirmed", Started: at(1)},
	})
	var got []string
	for _, l := range lines {
		got = append(got, l.Deployment+" "+l.Result+" "+strings.Join(l.Hosts, ","))
	}
	want := []string{"c confirmed p2", "b reverted p1", "b confirmed p2", "a confirmed p1,p2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for limit, want := range map[int]int{0: 4, 1: 1, 2: 3, 3: 4} {
		if got := len(newestDeployments(lines, limit)); got != want {
			t.Errorf("of %d deployments there are %d lines, want %d", limit, got, want)
		}
	}
}
