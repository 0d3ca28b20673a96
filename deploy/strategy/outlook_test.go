package strategy

import (
	"testing"

	"dray/pipeline"
)

func TestForesee(t *testing.T) {
	four := []Instance{{"p1", "web/1"}, {"p2", "web/2"}, {"p1", "web/3"}, {"p2", "web/4"}}
	data := []pipeline.Volume{{Name: "data"}}
	for _, c := range []struct {
		name    string
		service pipeline.Service
		changed []Instance
		want    Outlook
	}{
		{"nothing", pipeline.Service{}, nil, Outlook{}},
		{"one", pipeline.Service{}, four[:1], Outlook{Downtime: "no downtime", Batches: 1}},
		{"rolling", pipeline.Service{}, four, Outlook{Pace: "one at a time", Downtime: "no downtime", Batches: 4}},
		{"three at a time", pipeline.Service{Update: pipeline.Update{MaxParallel: 3}}, four, Outlook{Pace: "3 at a time", Downtime: "no downtime", Batches: 2}},
		{"percent", pipeline.Service{Update: pipeline.Update{MaxParallelPct: 50}}, four, Outlook{Pace: "2 at a time", Downtime: "no downtime", Batches: 2}},
		{"percent of few", pipeline.Service{Update: pipeline.Update{MaxParallelPct: 100}}, four[:2], Outlook{Pace: "all at once", Downtime: "no downtime", Batches: 1}},
		{"all at once", pipeline.Service{Update: pipeline.Update{Strategy: pipeline.StrategyAllAtOnce}}, four, Outlook{Pace: "all at once", Downtime: "no downtime", Batches: 1}},
		{"blue-green", pipeline.Service{Update: pipeline.Update{Strategy: pipeline.StrategyBlueGreen}}, four, Outlook{Pace: "all new ones beside the old ones, then the switch", Downtime: "no downtime", Batches: 1}},
		{"canary", pipeline.Service{Update: pipeline.Update{Strategy: pipeline.StrategyCanary, MaxParallel: 2}}, four, Outlook{Pace: "1 first, then 2 at a time", Downtime: "no downtime", Batches: 3, Asks: true}},
		{"canary by itself", pipeline.Service{Update: pipeline.Update{Strategy: pipeline.StrategyCanary, Canary: 2, AutoPromote: true}}, four, Outlook{Pace: "2 first, then one at a time", Downtime: "no downtime", Batches: 3}},
		{"a canary of all", pipeline.Service{Update: pipeline.Update{Strategy: pipeline.StrategyCanary, Canary: 4}}, four, Outlook{Pace: "all at once", Downtime: "no downtime", Batches: 1}},
		{"recreate", pipeline.Service{Update: pipeline.Update{Strategy: pipeline.StrategyRecreate}}, four[:1], Outlook{Downtime: "each stops before its successor starts", Batches: 1, StopsFirst: true}},
		{"one writer", pipeline.Service{Volumes: data}, four[:1], Outlook{Downtime: "each stops before its successor starts (volume data has one writer at a time)", Batches: 1, StopsFirst: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.service.Name = "web"
			if got := Foresee(&c.service, c.changed, len(c.changed)); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
