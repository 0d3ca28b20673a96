package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/pipeline"
	"dray/pipeline/event"
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
		said, err := a.agreed(ctx, ui.WhatGoes(name, seen, volumes), name)
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
	a.finish(event.Event{Text: ui.WhatWent(env, open.Names(), results), Environment: name})
	return nil
}

// taken is the environment to take down, with the hosts to take it from: its
// own, or those named, which the file has taken out of it.
func (p *project) taken(name string, on []string) (*pipeline.Environment, error) {
	if len(on) == 0 {
		return p.environment(name)
	}
	env := p.spec.Environment(name)
	for _, host := range on {
		switch {
		case p.spec.Hosts[host] == nil:
			return nil, &pipeline.UnknownError{Kind: "host", Name: host, Declared: sortedNames(p.spec.Hosts)}
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
