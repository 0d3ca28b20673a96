// Command drayd is everything that runs on a host beside the containers.
//
//	drayd agent          the daemon: serves /run/dray/agent.sock
//	drayd keep           the agent's parent where no service manager is
//	drayd start|stop     the agent, through the service manager or the keeper
//	drayd shutdown       stops all containers in order: the host goes down
//	drayd resume         brings them back, where it does not
//	drayd service VERB   the same, with restart and status
//	drayd connect        one client's connection, on stdin and stdout; --role allows less than all
//	drayd install        makes an uploaded bundle the current one
//	drayd uninstall      takes the programs away again; --purge the state too
//	drayd version
//
// The verbs are told apart by hand: a connection starts often and must cost
// little. The shim of a container is dray-oci's, for the same reason.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"dray/targets/api"
	"dray/targets/connect"
	"dray/targets/store/unpack"
)

func main() {
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1], os.Args[2:])
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "drayd %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func run(ctx context.Context, verb string, args []string) error {
	switch {
	case verb == "agent":
		return runAgent(ctx, args)
	case verb == "shutdown":
		return shutdown(ctx, args)
	case verb == "resume":
		return resume(ctx, args)
	case verb == "unpack": // of the agent alone, and no verb for people
		return unpack.Main(os.Stdin, os.Stdout)
	case verb == "version":
		_, err := fmt.Printf("drayd %s api %d\n", api.BuildVersion, api.Version)
		return err
	case slices.Contains(connect.Verbs, verb):
		return connect.Command(ctx, verb, args, os.Stdout)
	}
	usage()
	return errors.New("no such verb")
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: drayd agent|keep|start|stop|shutdown|resume|service|connect|install|uninstall|version [flags]")
}
