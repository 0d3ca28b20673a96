package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

func downCommand(a *app) *cobra.Command {
	var volumes, yes bool
	var on []string
	cmd := &cobra.Command{
		Use:   "down ENV",
		Short: "Remove an environment from its hosts; volumes stay",
		Long: `down stops and removes the containers of an environment, those kept for a
rollback too, with what they and its tasks wrote, its network and its releases.
Volumes stay unless --volumes is given. Its history stays, and release numbers
go on where they were.

With --host it removes it from a host only that the file has taken out of the
environment, or of an environment that the file has no more.

It asks for the environment's name at a terminal. Elsewhere it needs --yes.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.down(cmd.Context(), args[0], on, volumes, yes)
		},
	}
	cmd.Flags().BoolVar(&volumes, "volumes", false, "delete the volumes' data, too")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().StringSliceVar(&on, "host", nil, "a host that is not one of the environment's any more")
	return cmd
}

func (a *app) down(ctx context.Context, name string, on []string, volumes, yes bool) error {
	p, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	env, err := p.taken(name, on)
	if err != nil {
		return err
	}
	if !yes && !a.canAsk() {
		return notConfirmed(name, on, volumes, ui.Unanswered)
	}
	open, err := p.environments.Open(ctx, env, nil, a.view)
	if err != nil {
		return err
	}
	defer open.Close()
	if !yes {
		seen, err := open.Observe(ctx)
		if err != nil {
			return err
		}
		said, err := a.agreed(ctx, whatGoes(name, seen, volumes), name)
		if err != nil {
			return err
		}
		if said != ui.Yes {
			return notConfirmed(name, on, volumes, said)
		}
	}
	results, err := open.Down(ctx, volumes)
	if err != nil {
		return err
	}
	a.finish(event.Event{Text: whatWent(env, open.Names(), results), Environment: name})
	return nil
}

// taken is the environment to take down, with the hosts to take it from: its
// own, or those named, which the file has taken out of it.
func (p *project) taken(name string, on []string) (*pipeline.Environment, error) {
	if len(on) == 0 {
		return p.environment(name)
	}
	env := p.project.Environment(name)
	for _, host := range on {
		switch {
		case p.project.Hosts[host] == nil:
			return nil, unknown("host", host, "", sortedNames(p.project.Hosts))
		case env != nil && slices.Contains(env.Hosts, host):
			f := failure(fmt.Sprintf("%s is one of the hosts of %s: all of them run it, or none", host, name),
				fmt.Sprintf("take %s out of the file first, or take all of it down: dray down %s", host, name))
			return nil, &exitError{code: exitFailed, failure: f}
		}
	}
	return &pipeline.Environment{Name: name, Hosts: on}, nil
}

func notConfirmed(name string, on []string, volumes bool, said ui.Reply) error {
	command := "dray down " + name
	for _, host := range on {
		command += " --host " + host
	}
	if volumes {
		command += " --volumes"
	}
	command += " --yes"
	return &exitError{code: exitRefused, failure: unconfirmed(name, name+" is taken down", command, said)}
}

// whatGoes says what taking an environment down removes.
func whatGoes(name string, seen map[string]*api.Environment, volumes bool) string {
	instances, releases := map[string]int{}, map[api.ReleaseNumber]bool{}
	var data []string
	for _, host := range sortedNames(seen) {
		state := seen[host]
		if state.Current != nil {
			releases[state.Current.ReleaseNumber()] = true
			for _, instance := range state.Current.Placement[host] {
				service, _, isInstance := strings.Cut(instance, "/")
				if isInstance {
					instances[service]++
				}
			}
		}
		for _, number := range state.Previous {
			releases[number] = true
		}
		for _, volume := range state.Volumes {
			data = append(data, host+":"+volume)
		}
	}
	what := []string{"nothing that runs"}
	if len(instances) > 0 {
		what = nil
	}
	for _, service := range sortedNames(instances) {
		what = append(what, fmt.Sprintf("%s (%s)", service, phrase.Count(instances[service], "instance")))
	}
	if len(releases) > 0 {
		var numbers []string
		for _, n := range slices.SortedFunc(maps.Keys(releases), func(a, b api.ReleaseNumber) int { return b.Compare(a) }) {
			numbers = append(numbers, n.String())
		}
		what = append(what, "what is kept of release "+phrase.List(numbers))
	}
	text := fmt.Sprintf("This removes %s from %s: %s.", name, phrase.List(sortedNames(seen)), strings.Join(what, ", "))
	switch {
	case len(data) > 0 && volumes:
		text += "\nIt deletes the data of these volumes, for good: " + strings.Join(data, ", ") + "."
	case len(data) > 0:
		text += "\nThese volumes stay: " + strings.Join(data, ", ") + "."
	}
	return text
}

// whatWent says what is true after it.
func whatWent(env *pipeline.Environment, hosts []string, results map[string]*api.DownResult) string {
	containers, kept, deleted := 0, []string{}, []string{}
	for _, host := range sortedNames(results) {
		r := results[host]
		containers += len(r.Containers)
		for _, v := range r.Kept {
			kept = append(kept, host+":"+v)
		}
		for _, v := range r.Volumes {
			deleted = append(deleted, host+":"+v)
		}
	}
	text := fmt.Sprintf("%s is gone from %s: %s removed.", env.Name, phrase.List(hosts), phrase.Count(containers, "container"))
	if len(kept) > 0 {
		text += " Kept volumes: " + strings.Join(kept, ", ") + "."
	}
	if len(deleted) > 0 {
		text += " Deleted volumes: " + strings.Join(deleted, ", ") + "."
	}
	return text
}
