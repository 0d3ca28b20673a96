//go:build linux && cgo

package main

import (
	"os"

	"github.com/opencontainers/runc/libcontainer"

	// The C half of a container's start: it enters or makes the namespaces
	// before the Go runtime has threads.
	_ "github.com/opencontainers/runc/libcontainer/nsenter"

	// Device rules are compiled (v2) or written (v1) only when this is linked.
	_ "github.com/opencontainers/cgroups/devices"
)

// The second start of this binary, inside the container's namespaces, never
// reaches main: libcontainer takes over here and replaces the process.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		libcontainer.Init()
	}
}
