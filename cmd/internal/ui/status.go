package ui

import (
	"fmt"
	"io"
	"strings"

	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/pipeline/run"
)

// PrintStatus shows what runs where, what is wrong with it, and what waits.
func PrintStatus(w io.Writer, p *pipeline.Project, views []environment.Status) error {
	services := servicesOf(p, views)
	t := Table{Header: append([]string{"", "release", ""}, services...), Whole: true}
	for _, v := range views {
		number, age := "-", ""
		if v.Release > 0 {
			number, age = v.ReleaseNumber().String(), phrase.Age(v.Since)
		}
		row := []string{v.Environment, number, age}
		for _, s := range services {
			digest := phrase.Digest(v.Images[s])
			if v.Differ[s] != "" {
				digest = "digests differ" // a note says which
			}
			row = append(row, phrase.Words(v.Services[s], digest))
		}
		t.Add(row...)
	}
	if err := t.Print(w); err != nil {
		return err
	}
	for _, v := range views {
		for _, n := range v.Notes {
			fmt.Fprintln(w, NoteLine(v.Environment, n))
		}
	}
	printWaiting(w, p, views)
	return nil
}

// servicesOf lists the file's services, and those that run though the file has
// them no more.
func servicesOf(p *pipeline.Project, views []environment.Status) []string {
	all := map[string]bool{}
	for name := range p.Services {
		all[name] = true
	}
	for _, v := range views {
		for name := range v.Services {
			all[name] = true
		}
	}
	return sortedKeys(all)
}

// printWaiting says what could be promoted, and where the file says otherwise
// than what runs.
func printWaiting(w io.Writer, p *pipeline.Project, views []environment.Status) {
	byName := map[string]*environment.Status{}
	for i := range views {
		byName[views[i].Environment] = &views[i]
	}
	for _, env := range p.Environments {
		to := byName[env.Name]
		if to == nil {
			continue
		}
		verb := "deploy"
		if env.Promotion != nil {
			verb = "promote"
			if from := byName[env.Promotion.From]; from != nil && from.Release > to.Release { // a revision is an environment's own
				fmt.Fprintf(w, "release %s of %s waits: dray promote %s%s\n", from.ReleaseNumber(), from.Environment, env.Name, environment.Hindrances(env.Promotion, from, to))
				continue
			}
		}
		if current := to.Current(); current != nil && run.Reconfigured(env, current) {
			fmt.Fprintf(w, "a change of configuration waits: dray %s %s (dray plan %[2]s shows it)\n", verb, env.Name)
		}
	}
}

// NoteLine is a line about what is wrong with an environment.
func NoteLine(env, note string) string {
	return fmt.Sprintf("! %s  %s", env, strings.ReplaceAll(note, "\n", "\n    "))
}
