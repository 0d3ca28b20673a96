package ui

import (
	"context"
	"os"
)

// SizeChanges tells nothing: Windows has no signal for it.
func SizeChanges(context.Context) <-chan os.Signal {
	c := make(chan os.Signal)
	close(c)
	return c
}
