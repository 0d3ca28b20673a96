package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dray/cmd/internal/ui"
	"dray/deploy/environment"
)

func execCommand(a *app) *cobra.Command {
	var interactive, tty bool
	var env []string
	var workdir, user string
	cmd := &cobra.Command{
		Use:   "exec ENV SERVICE[/INDEX] [flags] -- COMMAND [ARG…]",
		Short: "Run a command in a running container",
		Long: `exec runs a command in a running container of a service: the first one, or the
one named by its index. Its exit code becomes dray's.`,
		Example: "  dray exec prod web -- ls /\n  dray exec -it prod web/2 -- sh",
		Args:    cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			options := container.ExecCreateRequest{
				AttachStdout: true, AttachStderr: true, AttachStdin: interactive, Tty: tty,
				Cmd: args[2:], Env: env, WorkingDir: workdir, User: user,
			}
			return a.exec(cmd.Context(), args[0], args[1], options)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&interactive, "interactive", "i", false, "pass stdin on")
	flags.BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	flags.StringArrayVarP(&env, "env", "e", nil, "set a variable: NAME=VALUE")
	flags.StringVarP(&workdir, "workdir", "w", "", "folder to start in")
	flags.StringVarP(&user, "user", "u", "", "user to be")
	flags.SetInterspersed(true)
	return cmd
}

func (a *app) exec(ctx context.Context, env, service string, options container.ExecCreateRequest) error {
	p, err := a.openToLook(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	in, err := p.environment(env)
	if err != nil {
		return err
	}
	c, err := p.environments.FindRunning(ctx, in, service)
	if err != nil {
		return err
	}
	a.view.Close()
	var created container.ExecCreateResponse
	if err := c.Engine.Post(ctx, "/containers/"+c.ID+"/exec", options, &created); err != nil {
		return err
	}
	if err := a.execStream(ctx, c.Engine, created.ID, options); err != nil {
		return err
	}
	var state struct {
		ExitCode int
		Fault    string // the command could not be started
	}
	if err := c.Engine.Get(ctx, "/exec/"+created.ID+"/json", &state); err != nil {
		return err
	}
	ended := &exitError{code: state.ExitCode}
	switch {
	case state.Fault != "":
		ended.failure = failure(notStarted(c.Instance(), c.Engine.Host, options.Cmd[0], withoutSteps(options.Cmd[0], state.Fault)), "")
		ended.failure.Conclusion = ""
	case state.ExitCode == 0:
		return nil
	}
	return ended
}

// notStarted says why a command can't be started.
func notStarted(where, host, command, fault string) string {
	return fmt.Sprintf("%s on %s can't run %s: %s", where, host, command, fault)
}

// withoutSteps is what a runtime says of a command, without its steps to there.
func withoutSteps(command, fault string) string {
	fault = strings.TrimPrefix(fault, "unable to start container process: ")
	return strings.TrimPrefix(fault, fmt.Sprintf("exec: %q: ", command))
}

// execStream joins the command's streams with this process's, until the command
// ends, or ctx does: then the agent ends the command.
func (a *app) execStream(ctx context.Context, e *environment.Engine, id string, options container.ExecCreateRequest) error {
	conn, r, err := e.TakeOver(ctx, "/exec/"+id+"/start?fault=inspect", container.ExecStartRequest{Tty: options.Tty})
	if err != nil {
		return err
	}
	defer conn.Close()
	return a.join(ctx, conn, r, streams{engine: e, tty: options.Tty, stdin: options.AttachStdin, path: "/exec/" + id, out: os.Stdout, errOut: os.Stderr})
}

// streams says which streams of a program are joined with this process's.
type streams struct {
	engine     *environment.Engine
	tty, stdin bool
	path       string // of the program, whose terminal may be resized

	out, errOut io.Writer
}

// join copies a program's streams until it ends, or ctx does.
func (a *app) join(ctx context.Context, conn net.Conn, r io.Reader, s streams) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // nobody reads what a connection that ends so says
	if s.tty && ui.IsTerminal(os.Stdin) {
		restore, err := a.asker.Raw(os.Stdin)
		if err != nil {
			return err
		}
		defer restore()
		followSize(ctx, s.engine, s.path)
	}
	if s.stdin {
		go func() {
			_, _ = io.Copy(conn, os.Stdin) // the command may end before its input does
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		}()
	}
	var err error
	if s.tty {
		_, err = io.Copy(s.out, r)
	} else {
		_, err = stdcopy.StdCopy(s.out, s.errOut, r)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// followSize gives the command the terminal's size, now and when it changes.
func followSize(ctx context.Context, e *environment.Engine, path string) {
	send := func() {
		width, height, err := term.GetSize(int(os.Stdout.Fd()))
		if err != nil {
			return
		}
		q := url.Values{"w": {strconv.Itoa(width)}, "h": {strconv.Itoa(height)}}
		_ = e.Post(ctx, path+"/resize?"+q.Encode(), nil, nil) // a wrong size is no reason to end
	}
	go func() {
		send()
		for range ui.SizeChanges(ctx) {
			send()
		}
	}()
}
