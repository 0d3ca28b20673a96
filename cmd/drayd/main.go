// Command drayd is everything that runs on a host beside the containers.
//
//	drayd agent       the daemon: serves /run/dray/agent.sock
//	drayd keep        runs the agent and starts it again when it dies
//	drayd start|stop  a detached keeper, for hosts without a service manager
//	drayd connect     one client's connection, on stdin and stdout
//	drayd shim        one container's parent
//	drayd install     puts this binary and dray-oci in place
//	drayd uninstall   takes them away again
//	drayd version
//
// The verbs are told apart by hand: a shim and a connection start often and
// must cost little.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dray/targets/api"
)

// verbs are what drayd does; each returns the exit code.
var verbs = map[string]func(ctx context.Context, args []string) error{
	"agent":   agentVerb,
	"version": versionVerb,
}

func main() {
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	verb := verbs[os.Args[1]]
	if verb == nil {
		fmt.Fprintf(os.Stderr, "drayd: no verb %q\n", os.Args[1])
		usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := verb(ctx, os.Args[2:])
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "drayd %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: drayd agent|keep|start|stop|connect|shim|install|uninstall|version [flags]")
}

func versionVerb(context.Context, []string) error {
	_, err := fmt.Printf("drayd %s api %d\n", api.BuildVersion, api.Version)
	return err
}
