package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/pipeline/run"
	"dray/targets/api"
)

func statusCommand(a *app) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [ENV]",
		Short: "What runs where, and what is wrong with it",
		Long: `status asks every host what runs there, and says what is wrong with it.

With --watch it goes on until Ctrl-C: at a terminal the picture is kept up to
date, on a pipe there is a line whenever something changes, with --json an
object. A host that goes away is shown, and again when it is back.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.openToLook(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			envs, err := p.chosen(args)
			if err != nil {
				return err
			}
			if watch {
				return p.watch(cmd.Context(), envs)
			}
			views := p.environments.Look(cmd.Context(), envs)
			if err := context.Cause(cmd.Context()); err != nil {
				return err // half an answer is none
			}
			if len(args) == 0 {
				views = p.environments.AddOrphans(cmd.Context(), views)
			}
			return results(a, views, func(w io.Writer) error { return p.printStatus(w, views) })
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show what changes")
	return cmd
}

// chosen is the environment that args name, or all.
func (p *project) chosen(args []string) ([]*pipeline.Environment, error) {
	if len(args) == 0 {
		return p.project.Environments, nil
	}
	env, err := p.environment(args[0])
	return []*pipeline.Environment{env}, err
}

func (p *project) printStatus(w io.Writer, views []environment.Status) error {
	services := servicesOf(p.project, views)
	t := ui.Table{Header: append([]string{"", "release", ""}, services...), Whole: true}
	for _, v := range views {
		number, age := "-", ""
		if v.Release > 0 {
			number, age = v.ReleaseNumber().String(), since(v.Since)
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
			fmt.Fprintln(w, noteLine(v.Environment, n))
		}
	}
	p.printWaiting(w, views)
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
	return sortedNames(all)
}

// printWaiting says what could be promoted, and where the file says otherwise
// than what runs.
func (p *project) printWaiting(w io.Writer, views []environment.Status) {
	byName := map[string]*environment.Status{}
	for i := range views {
		byName[views[i].Environment] = &views[i]
	}
	for _, env := range p.project.Environments {
		to := byName[env.Name]
		if to == nil {
			continue
		}
		verb := "deploy"
		if env.Promotion != nil {
			verb = "promote"
			if from := byName[env.Promotion.From]; from != nil && from.Release > to.Release { // a revision is an environment's own
				fmt.Fprintf(w, "release %s of %s waits: dray promote %s%s\n", from.ReleaseNumber(), from.Environment, env.Name, hindrances(env.Promotion, from, to))
				continue
			}
		}
		if current := to.Current(); current != nil && reconfigured(env, current) {
			fmt.Fprintf(w, "a change of configuration waits: dray %s %s (dray plan %[2]s shows it)\n", verb, env.Name)
		}
	}
}

// hindrances says what a promotion still lacks, as far as what was read tells:
// " (nobody has approved it; prod is locked)", or "".
func hindrances(gate *pipeline.Promotion, from, to *environment.Status) string {
	var reasons []string
	if age := time.Since(from.Since); !from.Since.IsZero() && age < gate.MinAge.D() {
		reasons = append(reasons, fmt.Sprintf("it has run in %s for %s of %s", from.Environment, since(from.Since), gate.MinAge))
	}
	asked, approved, locked := false, false, false
	for _, h := range to.Hosts {
		if h.State != nil {
			asked = true
			locked = locked || h.State.Freeze != nil
			approved = approved || slices.ContainsFunc(h.State.Approvals, func(a api.Approval) bool { return a.Release == from.Release })
		}
	}
	if gate.Approve && asked && !approved {
		reasons = append(reasons, "nobody has approved it")
	}
	if locked {
		reasons = append(reasons, to.Environment+" is locked")
	}
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, "; ") + ")"
}

// reconfigured tells whether the file says otherwise of an environment than the
// release that it runs, images, secrets and places apart.
func reconfigured(env *pipeline.Environment, current *pipeline.Release) bool {
	desired := run.Configured(env)
	desired.Images, desired.Secrets, desired.Placement = current.Images, current.Secrets, current.Placement
	return !desired.Same(current)
}

// since is how long ago t was, in one unit.
func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
