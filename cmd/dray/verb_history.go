package main

import (
	"io"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/pipeline"
)

func historyCommand(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "history ENV",
		Short: "Who brought what to an environment, when, and how it ended",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onLook(cmd.Context(), args[0], func(p *project, env *pipeline.Environment) error {
				lines, missed, err := p.environments.History(cmd.Context(), env, limit)
				if err != nil {
					return err
				}
				defer a.tellSilent(env, missed)
				return results(a, lines, func(w io.Writer) error { return ui.PrintHistory(w, lines) })
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "newest deployments to show")
	return cmd
}
