package plan

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dray/pipeline"
)

func web(count int) map[string]*pipeline.Service {
	return map[string]*pipeline.Service{"web": {Name: "web", Mode: pipeline.ModeReplicated, Count: count}}
}

func TestPlace(t *testing.T) {
	volume := []pipeline.Volume{{Name: "data", Destination: "/data"}}
	tests := []struct {
		name     string
		services map[string]*pipeline.Service
		hosts    []string
		previous map[string][]string
		want     map[string][]string
	}{
		{"evenly", web(4), []string{"p2", "p1"}, nil, map[string][]string{"p1": {"web/1", "web/3"}, "p2": {"web/2", "web/4"}}},
		{"odd", web(3), []string{"p1", "p2"}, nil, map[string][]string{"p1": {"web/1", "web/3"}, "p2": {"web/2"}}},
		{"none is an entry too", web(1), []string{"p1", "p2"}, nil, map[string][]string{"p1": {"web/1"}, "p2": {}}},
		{"stays", web(2), []string{"p1", "p2"}, map[string][]string{"p1": {"web/2"}, "p2": {"web/1"}}, map[string][]string{"p1": {"web/2"}, "p2": {"web/1"}}},
		{"a host more takes half", web(2), []string{"p1", "p2"}, map[string][]string{"p1": {"web/1", "web/2"}}, map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}}},
		{"a host less", web(2), []string{"p1"}, map[string][]string{"p1": {"web/1"}, "p2": {"web/2"}}, map[string][]string{"p1": {"web/1", "web/2"}}},
		{"an odd one out stays where it is", web(3), []string{"p1", "p2"}, map[string][]string{"p1": {"web/1"}, "p2": {"web/2", "web/3"}}, map[string][]string{"p1": {"web/1"}, "p2": {"web/2", "web/3"}}},
		{"global", map[string]*pipeline.Service{"log": {Name: "log", Mode: pipeline.ModeGlobal}}, []string{"p1", "p2"}, nil, map[string][]string{"p1": {"log/1"}, "p2": {"log/2"}}},
		{
			"data stays, however uneven",
			map[string]*pipeline.Service{"db": {Name: "db", Count: 2, Volumes: volume}},
			[]string{"p1", "p2"},
			map[string][]string{"p1": {"db/1", "db/2"}},
			map[string][]string{"p1": {"db/1", "db/2"}, "p2": {}},
		},
		{
			"services fill each other's gaps",
			map[string]*pipeline.Service{"a": {Name: "a", Count: 1}, "b": {Name: "b", Count: 1}},
			[]string{"p1", "p2"}, nil,
			map[string][]string{"p1": {"a/1"}, "p2": {"b/1"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Place(test.services, test.hosts, test.previous); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestPlaceHolds tries many random placements: all instances are placed once,
// no host has two more than another, and nothing moves without a reason.
func TestPlaceHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	hosts := []string{"a", "b", "c", "d", "e"}
	previous := map[string][]string{}
	for range 2000 {
		some := hosts[:1+random.IntN(len(hosts))]
		count := random.IntN(12)
		got := Place(web(count), some, previous)
		least, most, seen := count, 0, []string{}
		for _, host := range some {
			least, most = min(least, len(got[host])), max(most, len(got[host]))
			seen = append(seen, got[host]...)
		}
		slices.Sort(seen)
		if len(slices.Compact(seen)) != count || most-least > 1 {
			t.Fatalf("%d over %v after %v: %v", count, some, previous, got)
		}
		if again := Place(web(count), some, got); !reflect.DeepEqual(again, got) {
			t.Fatalf("%v moved to %v without a reason", got, again)
		}
		for _, name := range seen {
			if !strings.HasPrefix(name, "web/") {
				t.Fatalf("unexpected instance %q", name)
			}
		}
		previous = got
	}
}

// TestPlaceMovesAsFewAsPossible compares with the best that evenness allows,
// and holds that nothing with data moves at all while its host is there.
func TestPlaceMovesAsFewAsPossible(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	hosts := []string{"a", "b", "c", "d"}
	for range 2000 {
		some := hosts[:1+random.IntN(len(hosts))]
		count := random.IntN(10)
		previous := map[string][]string{}
		for i := range 10 { // anywhere, also on hosts that are gone
			host := hosts[random.IntN(len(hosts))]
			name := pipeline.Instance{Service: "web", Index: i + 1}.String()
			previous[host] = append(previous[host], name)
		}
		got := Place(web(count), some, previous)
		if kept, best := keptBy(got, previous), bestKept(count, some, previous); kept != best {
			t.Fatalf("%d over %v after %v: %v keeps %d, could keep %d", count, some, previous, got, kept, best)
		}
		services := web(count)
		services["web"].Volumes = []pipeline.Volume{{Name: "data", Destination: "/data"}}
		got = Place(services, some, previous)
		for host, names := range got {
			for _, name := range names {
				if home := hostOf(previous, name); home != host && slices.Contains(some, home) {
					t.Fatalf("%s left %s and its data for %s", name, home, host)
				}
			}
		}
	}
}

func hostOf(placement map[string][]string, name string) string {
	for host, names := range placement {
		if slices.Contains(names, name) {
			return host
		}
	}
	return ""
}

func keptBy(got, previous map[string][]string) int {
	kept := 0
	for host, names := range got {
		for _, name := range names {
			if slices.Contains(previous[host], name) {
				kept++
			}
		}
	}
	return kept
}

// bestKept counts how many instances can stay when no host may have two more
// than another: the fullest hosts get the larger share.
func bestKept(count int, hosts []string, previous map[string][]string) int {
	var loads []int
	for _, host := range hosts {
		n := 0
		for i := range count {
			if slices.Contains(previous[host], (pipeline.Instance{Service: "web", Index: i + 1}).String()) {
				n++
			}
		}
		loads = append(loads, n)
	}
	slices.SortFunc(loads, func(a, b int) int { return b - a })
	kept := 0
	for i, load := range loads {
		share := count / len(hosts)
		if i < count%len(hosts) {
			share++
		}
		kept += min(load, share)
	}
	return kept
}
