package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dray/builder/buildkit"
	"dray/builder/registry"
	"dray/pipeline/phrase"
)

func builderCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "builder", Short: "Look after the builder and what builds leave"}
	serve := &cobra.Command{
		Use: "serve", Hidden: true, Args: cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil }, // settings come on stdin
		RunE: func(cmd *cobra.Command, _ []string) error {
			return buildkit.ServeDetached(cmd.Context(), os.Stdin, os.Stdout)
		},
	}
	status := &cobra.Command{
		Use: "status", Short: "Does it run, since when, for whom", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := buildkit.ReadStatus(cmd.Context(), a.embedded())
			if errors.Is(err, buildkit.ErrNotRunning) {
				return a.result(map[string]bool{"running": false}, func(w io.Writer) error {
					_, err := fmt.Fprintln(w, "The builder does not run; a build starts it.")
					return err
				})
			}
			if err != nil {
				return err
			}
			return a.result(s, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "The builder runs as process %d since %s for %s.\nIts log: %s\nIts address: BUILDKIT_HOST=unix://%s\n",
					s.PID, s.Started.Local().Format(time.DateTime), phrase.Count(s.Clients, "client"), s.Log, s.Socket)
				return err
			})
		},
	}
	stop := &cobra.Command{
		Use: "stop", Short: "End it, once running builds have ended", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := buildkit.Stop(cmd.Context(), a.embedded()); err != nil && !errors.Is(err, buildkit.ErrNotRunning) {
				return err
			}
			return a.result(map[string]bool{"running": false}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "The builder does not run.")
				return err
			})
		},
	}
	cmd.AddCommand(serve, status, stop, builderUsageCommand(a), builderPruneCommand(a))
	return cmd
}

// kept is what builds have left on this machine.
type kept struct {
	Cache  *buildkit.Usage `json:"cache,omitempty"` // none when there is no builder to ask
	Images registry.Usage  `json:"images"`
}

func builderUsageCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "usage", Short: "How much the build cache and the image store hold", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var k kept
			client, err := buildkit.Connect(cmd.Context(), a.builderOptions())
			if err != nil {
				a.remark(fmt.Sprintf("the build cache can't be read: %v", err))
			} else {
				defer client.Close()
				usage, err := client.Usage(cmd.Context())
				if err != nil {
					return err
				}
				k.Cache = &usage
			}
			store, err := a.imageStore()
			if err != nil {
				return err
			}
			if k.Images, err = store.Usage(cmd.Context()); err != nil {
				return err
			}
			return a.result(k, func(w io.Writer) error { return k.print(w, a.settings.DataDir) })
		},
	}
}

func (k kept) print(w io.Writer, dir string) error {
	if k.Cache != nil {
		if _, err := fmt.Fprintf(w, "build cache  %s in %s, of which %s can go\n",
			phrase.Size(k.Cache.Total), phrase.Count(k.Cache.Records, "record"), phrase.Size(k.Cache.Reclaimable)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "images       %s in %s: %s, and %d remembered from earlier builds\n",
		phrase.Size(k.Images.Total), filepath.Join(dir, "images"), phrase.Count(k.Images.Names, "name"), k.Images.Remembered)
	return err
}

func builderPruneCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Go down to --keep now", Args: cobra.NoArgs,
		Long: `prune removes from the build cache and from the image store what --keep has no
room for, the least recently used first. The image that a target's last build
made stays, and so does what was named by hand. Hosts are not concerned: see
dray prune.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, images := a.settings.Keep, a.settings.Keep
			if all {
				keep, images = registry.Keep{}, registry.Keep{Bytes: 1}
			}
			store, err := a.imageStore()
			if err != nil {
				return err
			}
			var freed struct {
				Cache  int64 `json:"cache"`
				Images int64 `json:"images"`
			}
			if freed.Images, err = store.Prune(cmd.Context(), images); err != nil {
				return err
			}
			client, err := buildkit.Connect(cmd.Context(), a.builderOptions())
			if err != nil {
				a.remark(fmt.Sprintf("the build cache can't be pruned: %v", err))
			} else {
				defer client.Close()
				if freed.Cache, err = client.PruneTo(cmd.Context(), keep.Bytes, keep.Age); err != nil {
					return err
				}
			}
			return a.result(freed, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s of build cache and %s of images are gone.\n", phrase.Size(freed.Cache), phrase.Size(freed.Images))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all that is not in use, whatever --keep says")
	return cmd
}

// imageStore opens this user's images.
func (a *app) imageStore() (*registry.Store, error) {
	return registry.Open(filepath.Join(a.settings.DataDir, "images"))
}
