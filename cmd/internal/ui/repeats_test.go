package ui

import (
	"testing"

	"dray/pipeline/event"
)

func TestRepeats(t *testing.T) {
	on := func(host, instance string, release int, state string) event.Event {
		return event.Event{Type: event.InstanceState, Host: host, Instance: instance, Release: release, State: state}
	}
	var told Repeats
	for i, test := range []struct {
		event event.Event
		want  bool
	}{
		{on("p1", "web/1", 2, event.Starting), false},
		{on("p1", "web/1", 2, event.Starting), true},
		{on("p2", "web/1", 2, event.Starting), false},
		{on("p1", "web/1", 2, event.Healthy), false},
		{on("p1", "web/1", 1, event.Stopped), false},
		{on("p1", "web/1", 2, event.Stopped), false},
		{on("p1", "web/1", 2, event.Starting), false},
		{on("p1", "", 0, event.Removed), false},
		{on("p1", "", 0, event.Removed), false},
		{event.Event{Type: event.Notice, Instance: "web/1"}, false},
		{event.Event{Type: event.Notice, Instance: "web/1"}, false},
	} {
		if got := told.Before(test.event); got != test.want {
			t.Errorf("%d: %+v: got %t", i, test.event, got)
		}
	}
}
