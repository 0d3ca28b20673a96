//go:build unix

package ui

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// SizeChanges tells when the terminal's size changes, until ctx ends.
func SizeChanges(ctx context.Context) <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	go func() {
		<-ctx.Done()
		signal.Stop(c)
		close(c)
	}()
	return c
}
