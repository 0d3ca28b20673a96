package main

import (
	"fmt"
	"strings"

	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
)

// What a person sees of a release that failed and is held on its hosts, because
// its services say auto_revert = false.

// explainHeld says what is true after a rollout that failed and is held.
func explainHeld(failed *deploy.Error, e *event.Event) {
	s := failed.Pause
	where := ""
	if at := s.At.String(); at != "" {
		where = " (" + at + ")"
	}
	lines := []string{
		fmt.Sprintf("%s is still in place on %s as far as it came, because auto_revert is false%s.", phrase.Capital(failed.Release.Name()), phrase.List(s.Hosts), where),
		"Serving now: " + serves(s.Serves) + ".",
	}
	if len(failed.Stuck) > 0 {
		lines = append(lines, phrase.List(failed.Stuck)+" could not be told to hold it, and will go back when the lease has ended; the next rollback or deploy makes all hosts equal.")
	}
	e.Conclusion = strings.Join(lines, "\n")
	e.Next = environment.WaysOn(failed.Environment, failed.From)
}

// serves lists from which releases the services serve: "web 1 of release 41
// and 2 of release 42, db none".
func serves(all []deploy.Serving) string {
	var parts []string
	for i := 0; i < len(all); {
		name := all[i].Service
		var of []string
		for ; i < len(all) && all[i].Service == name; i++ {
			if all[i].Count == 0 {
				of = append(of, "none")
				continue
			}
			of = append(of, fmt.Sprintf("%d of %s", all[i].Count, all[i].Release.Name()))
		}
		parts = append(parts, name+" "+phrase.List(of))
	}
	return strings.Join(parts, ", ")
}
