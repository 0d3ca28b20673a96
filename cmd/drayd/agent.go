package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/targets/agent"
)

const (
	stateFolder = "/var/lib/dray"
	runFolder   = "/run/dray"
	// shutdownTime is how long requests get to end when the agent is stopped.
	// Streams that follow logs have no end of their own.
	shutdownTime = 3 * time.Second
)

func agentVerb(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	state := flags.String("state", stateFolder, "folder that survives a reboot")
	run := flags.String("run", runFolder, "folder of sockets, gone after a reboot")
	var level slog.Level
	flags.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	if err := flags.Parse(args); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	for dir, mode := range map[string]os.FileMode{*state: 0o711, *run: 0o755} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return err
		}
	}
	return serve(ctx, *state, *run, log)
}

// serve runs the agent and its socket until ctx ends.
func serve(ctx context.Context, state, run string, log *slog.Logger) error {
	a, err := agent.New(agent.Config{State: state, Log: log})
	if err != nil {
		return err
	}
	listener, err := listen(ctx, filepath.Join(run, "agent.sock"))
	if err != nil {
		return errors.Join(err, a.Close())
	}
	server := &http.Server{Handler: a.Handler(nil), ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if server.Shutdown(closing) != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}

// listen makes the agent's socket. A socket that a dead agent left is
// replaced; that no other agent lives is settled by the lock on its state.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replacing the old socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("making the agent's socket: %w", err)
	}
	return listener, os.Chmod(path, 0o660)
}
