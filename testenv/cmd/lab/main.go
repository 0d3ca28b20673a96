// Command lab brings up hosts on this machine for trying dray out, and takes
// them down again without a trace. See package testenv for what a host is.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"dray/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(max(exit.ExitCode(), 1)) // ssh and exec: the command has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// settings are the flags that every verb takes.
type settings struct {
	name, dir string
}

func newCommand() *cobra.Command {
	var s settings
	top := &cobra.Command{
		Use:           "lab",
		Short:         "Hosts on one machine, to try dray on",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	top.PersistentFlags().StringVar(&s.name, "name", "demo", "the lab's name")
	top.PersistentFlags().StringVar(&s.dir, "state", testenv.StateDir(), "folder in which labs keep their state")
	top.AddCommand(upCommand(&s), downCommand(&s), sweepCommand(&s), statusCommand(&s), envCommand(&s),
		sshCommand(&s), execCommand(&s), mirrorCommand())
	for _, v := range hostVerbs {
		top.AddCommand(hostCommand(&s, v))
	}
	return top
}

func (s *settings) load() (*testenv.Lab, error) { return testenv.Load(s.dir, s.name) }
