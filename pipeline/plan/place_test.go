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
