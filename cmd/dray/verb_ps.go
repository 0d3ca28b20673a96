package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
)

func psCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "ps [ENV]",
		Short: "List the containers on the hosts",
		Args:  cobra.MaximumNArgs(1),
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
			views := p.environments.Look(cmd.Context(), envs)
			if err := context.Cause(cmd.Context()); err != nil {
				return err // half an answer is none
			}
			var hosts []environment.HostStatus
			for _, v := range views {
				hosts = append(hosts, v.Hosts...)
			}
			return results(a, hosts, func(w io.Writer) error { return ui.PrintContainers(w, hosts, all) })
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those kept for rollback, too")
	return cmd
}
