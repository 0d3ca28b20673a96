package main

import (
	"context"
	"os"
)

// sizeChanges tells nothing: Windows has no signal for it.
func sizeChanges(context.Context) <-chan os.Signal {
	c := make(chan os.Signal)
	close(c)
	return c
}
