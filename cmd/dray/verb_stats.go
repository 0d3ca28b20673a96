package main

import (
	"io"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
	"dray/pipeline"
)

func statsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stats ENV [SERVICE]",
		Short: "What containers use: CPU, memory, processes, network",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			service := ""
			if len(args) == 2 {
				service = args[1]
			}
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				found, missed, err := p.environments.Find(cmd.Context(), env, service)
				if err != nil {
					return err
				}
				usages, err := environment.UsagesOf(cmd.Context(), found)
				if err != nil {
					return err
				}
				defer a.tellSilent(env, missed)
				return results(a, usages, func(w io.Writer) error { return ui.PrintUsages(w, usages) })
			})
		},
	}
}
