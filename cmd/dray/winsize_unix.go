//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// sizeChanges tells when the terminal's size changes, until ctx ends.
func sizeChanges(ctx context.Context) <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	go func() {
		<-ctx.Done()
		signal.Stop(c)
		close(c)
	}()
	return c
}
