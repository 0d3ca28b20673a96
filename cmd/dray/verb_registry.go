package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"dray/builder/registry"
)

func registryCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "registry", Short: "Serve this user's images as a registry"}
	var address string
	var readOnly bool
	serve := &cobra.Command{
		Use: "serve", Short: "Serve until interrupted", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := a.imageStore()
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
