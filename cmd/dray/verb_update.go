package main

import (
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/pipeline/config"
)

func updateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "update [IMAGE…]",
		Short: "Pin base images to what their registries have now",
		Long: `update asks registries what the named images are now, or all that dray.lock.hcl
pins, and writes it there. Builds and deployments use those until the next
update.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			if len(args) == 0 {
				args = slices.Sorted(maps.Keys(p.lock.Bases()))
			}
			names := make([]string, len(args))
			for i, text := range args {
				if names[i], err = config.BaseName(text); err != nil {
					return err
				}
			}
			changes, err := p.images.Update(cmd.Context(), names)
			if err != nil {
				return err
			}
			return results(a, changes, func(w io.Writer) error { return ui.PrintPins(w, p.lock.Path(), changes) })
		},
	}
}
