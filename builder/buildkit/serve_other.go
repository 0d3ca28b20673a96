//go:build !linux

package buildkit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"

	"github.com/moby/buildkit/client"
)

// ErrBusy says that another server of the same folder is running.
var ErrBusy = errors.New("another builder runs in this folder")

var errLinuxOnly = errors.New("the embedded builder needs Linux, this is " + runtime.GOOS +
	": set BUILDKIT_HOST to a builder (tcp://HOST:PORT, unix://PATH, ssh://HOST, docker-container://NAME), or build on one of the hosts")

// Serve returns an error: the embedded builder runs on Linux only.
func Serve(context.Context, Embedded, *slog.Logger, func()) error { return errLinuxOnly }

// ServeDetached returns an error: the embedded builder runs on Linux only.
func ServeDetached(context.Context, io.Reader, io.WriteCloser) error { return errLinuxOnly }

func ensure(context.Context, Embedded) (*client.Client, error) { return nil, errLinuxOnly }
