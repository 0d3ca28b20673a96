package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"dray/builder/buildkit"
	"dray/builder/registry"
	"dray/pipeline/phrase"
)

func builderCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "builder", Short: "Look after the embedded builder"}
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
	cmd.AddCommand(serve, status, stop)
	return cmd
}

func registryCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "registry", Short: "Serve this user's images as a registry"}
	var address string
	var readOnly bool
	serve := &cobra.Command{
		Use: "serve", Short: "Serve until interrupted", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := registry.Open(filepath.Join(a.settings.DataDir, "images"))
			if err != nil {
				return err
			}
			options := registry.HandlerOptions{Names: store, Log: slog.New(slog.NewTextHandler(a.errOut, nil))}
			if !readOnly {
				options.Content = store.Content()
			}
			listener, err := net.Listen("tcp", address)
			if err != nil {
				return fmt.Errorf("serving images: %w", err)
			}
			server := &http.Server{Handler: registry.Handler(store.Source(), options), ReadHeaderTimeout: 10 * time.Second}
			fmt.Fprintf(a.errOut, "serving %s on %s\n", a.settings.DataDir, listener.Addr())
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				<-cmd.Context().Done()
				_ = server.Close() // nothing to save
			}()
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			<-stopped
			return nil
		},
	}
	serve.Flags().StringVar(&address, "listen", "127.0.0.1:5000", "address to listen on; anyone who reaches it may read and write")
	serve.Flags().BoolVar(&readOnly, "read-only", false, "refuse pushes")
	cmd.AddCommand(serve)
	return cmd
}
