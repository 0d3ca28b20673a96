package strategy

import (
	"fmt"
	"slices"

	"dray/pipeline"
)

// Outlook is what the batches of one service's change mean to people. A plan
// shows it; it is read off the batches that a deployment walks.
type Outlook struct {
	Pace       string // "one at a time"; "" where fewer than two instances change
	Downtime   string // "no downtime", or why there is some
	Batches    int    // that start containers, one after the other
	StopsFirst bool   // the old container stops before its successor starts
	Asks       bool   // somebody must say yes after the canary
}

// Foresee looks at the batches of one service: changed are the instances that
// get another container or begin, count how many the release has.
func Foresee(s *pipeline.Service, changed []Instance, count int) Outlook {
	update := s.Update
	var reason string
	update.Strategy, reason = Effective(s)
	batches := Batches([]Change{{Service: s.Name, Update: update, Changed: changed, Count: count}})
	var out Outlook
	var started []int // by batch, how many instances start
	switchesApart := false
	for _, b := range batches {
		n := instances(b, Start)
		out.StopsFirst = out.StopsFirst || instances(b, Stop) > 0
		out.Asks = out.Asks || b.Pause != ""
		switchesApart = switchesApart || (n > 0 && instances(b, Switch) == 0)
		if n > 0 {
			started = append(started, n)
		}
	}
	out.Batches = len(started)
	if len(changed) > 0 {
		out.Downtime = downtime(out.StopsFirst, reason)
	}
	if len(changed) > 1 {
		out.Pace = pace(started, switchesApart, update.Strategy == pipeline.StrategyCanary)
	}
	return out
}

// instances counts those that a batch takes this action on.
func instances(b Batch, action string) int {
	n := 0
	for _, steps := range b.Steps {
		for _, s := range steps {
			if s.Action == action {
				n += len(s.Instances)
			}
		}
	}
	return n
}

func downtime(stopsFirst bool, reason string) string {
	switch {
	case !stopsFirst:
		return "no downtime"
	case reason == "":
		return "each stops before its successor starts"
	}
	return "each stops before its successor starts (" + reason + ")"
}

func pace(started []int, switchesApart, canary bool) string {
	switch {
	case switchesApart:
		return "all new ones beside the old ones, then the switch"
	case canary && len(started) > 1:
		return fmt.Sprintf("%d first, then %s", started[0], atATime(started[1:]))
	}
	return atATime(started)
}

func atATime(started []int) string {
	switch n := slices.Max(started); {
	case len(started) == 1 && n > 1:
		return "all at once"
	case n == 1:
		return "one at a time"
	default:
		return fmt.Sprintf("%d at a time", n)
	}
}
