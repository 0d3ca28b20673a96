package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"dray/pipeline/durable"
)

// A mark in the run folder says that this host goes down: its containers are
// stopped, or about to be, and no agent may start them again. It holds the boot
// that it was made in, since not every host empties /run.
const (
	markName = "shutdown"
	bootID   = "/proc/sys/kernel/random/boot_id"
	markPoll = 500 * time.Millisecond
)

// errGoingDown ends an agent that finds the mark.
var errGoingDown = errors.New("this host goes down")

func markDown(run string) error {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return err
	}
	return durable.Write(filepath.Join(run, markName), boot, 0o600)
}

func unmark(run string) error {
	err := os.Remove(filepath.Join(run, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// goesDown says whether the mark is there. One that can't be read is there.
func goesDown(run string) bool {
	mark, err := os.ReadFile(filepath.Join(run, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	boot, bootErr := os.ReadFile(bootID)
	return err != nil || bootErr != nil || bytes.Equal(mark, boot)
}

// stayDown answers whoever asks, and does nothing else, until the mark is taken
// away or ctx ends. A service manager may start an agent in the middle of a
// shutdown.
func stayDown(ctx context.Context, at place, log *slog.Logger) error {
	log.Info("this host goes down: its containers stay stopped", "until", "drayd resume")
	listener, err := listen(ctx, filepath.Join(at.run, "agent.sock"))
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		unavailable(w, "this host goes down, and its containers were stopped; if it does not, sudo "+beside("drayd")+" resume brings them back")
	})}
	tellManager(log, daemon.SdNotifyReady)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()    // ends with the server, below
	alive := func(context.Context) bool { return true } // it has nothing else to do
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { _ = watchdog(watching, log, alive) }) // it returns no fault
	defer watcher.Wait()
	defer stop()
	tick := time.NewTicker(markPoll)
	defer tick.Stop()
	for ctx.Err() == nil && goesDown(at.run) {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	err = shutDown(context.WithoutCancel(ctx), server)
	if why := <-served; !errors.Is(why, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("answering on the agent's socket: %w", why))
	}
	return err
}
