package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dray/builder/images"
	"dray/pipeline/config"
	"dray/pipeline/phrase"
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
			return results(a, changes, func(w io.Writer) error { return printChanges(w, p.lock.Path(), changes) })
		},
	}
}

func printChanges(w io.Writer, path string, changes []images.Repinned) error {
	changed := 0
	for _, c := range changes {
		text := phrase.Digest(c.To) + " as before"
		if c.From != c.To {
			changed++
			text = strings.TrimPrefix(phrase.Digest(c.From)+" → "+phrase.Digest(c.To), " → ")
		}
		if _, err := fmt.Fprintf(w, "%s  %s\n", c.Image, text); err != nil {
			return err
		}
	}
	last := "Nothing has changed."
	switch {
	case len(changes) == 0:
		last = "No image is pinned yet; dray build pins what it starts from."
	case changed > 0:
		last = path + " has changed: check it in. The next build starts from there."
	}
	_, err := fmt.Fprintln(w, last)
	return err
}
