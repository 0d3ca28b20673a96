package ui

import (
	"testing"

	"dray/pipeline"
	"dray/targets/api"
)

func TestWhatGoes(t *testing.T) {
	release := &pipeline.Release{Number: 42, Placement: map[string][]string{"p1": {"db/1", "task.report", "web/1"}, "p2": {"web/2"}}}
	seen := map[string]*api.Environment{
		"p1": {Current: release, Previous: []api.ReleaseNumber{{Number: 41}}, Volumes: []string{"data"}},
		"p2": {Current: release},
	}
	for _, test := range []struct {
		name    string
		seen    map[string]*api.Environment
		volumes bool
		want    string
	}{
		{"volumes stay", seen, false, "This removes prod from p1 and p2: db (1 instance), web (2 instances), what is kept of release 42 and 41.\nThese volumes stay: p1:data."},
		{"volumes go", seen, true, "This removes prod from p1 and p2: db (1 instance), web (2 instances), what is kept of release 42 and 41.\nIt deletes the data of these volumes, for good: p1:data."},
		{"nothing", map[string]*api.Environment{"p1": {}}, true, "This removes prod from p1: nothing that runs."},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := WhatGoes("prod", test.seen, test.volumes); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
