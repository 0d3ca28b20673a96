package main

import (
	"fmt"
	"slices"
	"strings"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

// What a person sees of a release that failed and is held on its hosts, because
// its services say auto_revert = false.

// explainHeld says what is true after a rollout that failed and is held.
func explainHeld(failed *deploy.Error, e *event.Event) {
	s := failed.Standstill
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
	e.Next = waysOn(failed.Environment, failed.From)
}

// waysOn are the commands that lead on from a release that is held.
func waysOn(env string, from pipeline.ReleaseNumber) string {
	return fmt.Sprintf("dray rollback %s goes back to %s; or repair it and dray deploy %[1]s, which goes back first", env, from.Name())
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

// held adds what a host holds, and which of its instances serve from it.
func (f *findings) held(env, host string, s *api.Environment) {
	d := s.Deployment
	f.add(host, fmt.Sprintf("release %s by %s failed and is held, as auto_revert is false: %s\nNext: %s", d.ReleaseNumber(), d.Actor.User, d.Held.Reason, waysOn(env, d.FromNumber())))
	var serve, run []string
	for _, i := range s.Instances {
		switch {
		case i.ReleaseNumber() != d.ReleaseNumber() || i.State != "running":
		case i.Serving:
			serve = append(serve, i.Instance)
		default:
			run = append(run, phrase.Words(i.Instance, "("+i.Health+")"))
		}
	}
	slices.Sort(serve)
	if len(serve) > 0 {
		f.add(host, fmt.Sprintf("from release %s serves %s", d.ReleaseNumber(), phrase.List(serve)))
	}
	if len(run) > 0 {
		f.add(host, fmt.Sprintf("of release %s runs, and does not serve, %s", d.ReleaseNumber(), phrase.List(run)))
	}
}
