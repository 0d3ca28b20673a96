package strategy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dray/pipeline"
)

func TestBatches(t *testing.T) {
	four := []Instance{{"p1", "web/1"}, {"p2", "web/2"}, {"p1", "web/3"}, {"p2", "web/4"}}
	tests := []struct {
		name    string
		changes []Change
		want    []string
	}{
		{"nothing", []Change{{Service: "web"}}, nil},
		{"rolling one at a time", []Change{{Service: "web", Changed: four[:2], Count: 2}}, []string{
			"p1: start web/1, switch web/1, retire web/1",
			"p2: start web/2, switch web/2, retire web/2",
		}},
		{"rolling by percent", []Change{{Service: "web", Changed: four, Count: 4, Update: pipeline.Update{MaxParallelPct: 50}}}, []string{
			"p1: start web/1, switch web/1, retire web/1; p2: start web/2, switch web/2, retire web/2",
			"p1: start web/3, switch web/3, retire web/3; p2: start web/4, switch web/4, retire web/4",
		}},
		{"all at once", []Change{{Service: "web", Changed: four, Update: pipeline.Update{Strategy: pipeline.StrategyAllAtOnce}}}, []string{
			"p1: start web/1 web/3, switch web/1 web/3, retire web/1 web/3; p2: start web/2 web/4, switch web/2 web/4, retire web/2 web/4",
		}},
		{"recreate stops first", []Change{{Service: "db", Changed: []Instance{{"p1", "db/1"}}, Update: pipeline.Update{Strategy: pipeline.StrategyRecreate}}}, []string{
			"p1: stop db/1, start db/1, switch db/1",
		}},
		{"blue-green switches when all are healthy", []Change{{Service: "web", Changed: four[:2], Update: pipeline.Update{Strategy: pipeline.StrategyBlueGreen}}}, []string{
			"p1: start web/1; p2: start web/2",
			"p1: switch web/1; p2: switch web/2",
			"p1: retire web/1; p2: retire web/2",
		}},
		{"canary waits for a yes", []Change{{Service: "web", Changed: four[:3], Update: pipeline.Update{Strategy: pipeline.StrategyCanary, Canary: 1, MaxParallel: 2}}}, []string{
			"p1: start web/1, switch web/1, retire web/1 | the canary of web is healthy",
			"p1: start web/3, switch web/3, retire web/3; p2: start web/2, switch web/2, retire web/2",
		}},
		{"canary goes on by itself", []Change{{Service: "web", Changed: four[:2], Update: pipeline.Update{Strategy: pipeline.StrategyCanary, AutoPromote: true}}}, []string{
			"p1: start web/1, switch web/1, retire web/1",
			"p2: start web/2, switch web/2, retire web/2",
		}},
		{"removed instances go last", []Change{{Service: "web", Changed: four[:1], Removed: four[1:2], Count: 1}}, []string{
			"p1: start web/1, switch web/1, retire web/1",
			"p2: switch web/2, retire web/2",
		}},
		{"services go side by side", []Change{
			{Service: "web", Changed: four[:2], Count: 2},
			{Service: "api", Changed: []Instance{{"p1", "api/1"}}, Count: 1},
		}, []string{
			"p1: start api/1 web/1, switch api/1 web/1, retire api/1 web/1",
			"p2: start web/2, switch web/2, retire web/2",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, b := range Batches(test.changes) {
				got = append(got, text(b))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
		})
	}
}

func text(b Batch) string {
	var hosts []string
	for host, steps := range b.Steps {
		var parts []string
		for _, s := range steps {
			parts = append(parts, fmt.Sprintf("%s %s", s.Action, strings.Join(s.Instances, " ")))
		}
		hosts = append(hosts, host+": "+strings.Join(parts, ", "))
	}
	slices.Sort(hosts)
	out := strings.Join(hosts, "; ")
	if b.Pause != "" {
		out += " | " + b.Pause
	}
	return out
}

func TestVolumesForceAStrategy(t *testing.T) {
	for _, c := range []struct {
		name   string
		volume pipeline.Volume
		want   string
	}{
		{"one writer", pipeline.Volume{Name: "data"}, pipeline.StrategyRecreate},
		{"read only", pipeline.Volume{Name: "data", ReadOnly: true}, pipeline.StrategyRolling},
		{"a folder of the host", pipeline.Volume{Name: "data", Source: "/srv"}, pipeline.StrategyRolling},
		{"shared", pipeline.Volume{Name: "data", Shared: true}, pipeline.StrategyRolling},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := pipeline.Service{Name: "web", Volumes: []pipeline.Volume{c.volume}}
			got, reason := Effective(&s)
			if got != c.want || (reason != "") != (c.want == pipeline.StrategyRecreate) {
				t.Errorf("%s (%s), want %s", got, reason, c.want)
			}
		})
	}
}

func TestWriters(t *testing.T) {
	services := []pipeline.Service{
		{Name: "db", Volumes: []pipeline.Volume{{Name: "pg"}}},
		{Name: "web", Volumes: []pipeline.Volume{{Name: "uploads", Shared: true}}},
	}
	placement := map[string][]string{"p1": {"db/1", "db/2", "web/1", "web/2"}, "p2": {"db/3"}}
	got := Writers(services, placement)
	if len(got) != 1 || !strings.HasPrefix(got[0], "2 instances of db on p1 write to volume pg at once") {
		t.Errorf("%q", got)
	}
}
