package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline/event"
	"dray/targets/api"
)

func runCommand(a *app) *cobra.Command {
	var tty bool
	var on, entrypoint string
	var r api.RunService
	cmd := &cobra.Command{
		Use:   "run ENV SERVICE [flags] [-- COMMAND…]",
		Short: "Run a command in a container of its own, made like a service's",
		Long: `run starts one more container of a service on one host: with its image, variables,
secrets, volumes, network, limits and user, but without its published ports and
its check, and without a share of its traffic. Without COMMAND it runs what the
service runs; an entrypoint is kept unless --entrypoint says another. Its exit code becomes dray's. The container is removed at the end,
also when dray is killed or the connection is cut. Where the host's agent is
replaced meanwhile, it goes on, and dray shows the rest of its output.

It runs on the first host with an instance of the service, or on --host.`,
		Example: "  dray run prod web -- bin/rails db:seed\n  dray run -it --entrypoint sh prod web",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Command, r.TTY = args[2:], tty
			if entrypoint != "" {
				r.Entrypoint = []string{entrypoint}
			}
			return a.run(cmd.Context(), args[0], args[1], on, r)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&r.Stdin, "interactive", "i", false, "pass stdin on")
	flags.BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	flags.StringArrayVarP(&r.Env, "env", "e", nil, "set a variable: NAME=VALUE")
	flags.StringVarP(&r.WorkDir, "workdir", "w", "", "folder to start in")
	flags.StringVarP(&r.User, "user", "u", "", "user to be")
	flags.StringVar(&entrypoint, "entrypoint", "", "program to start, instead of the service's or its image's")
	flags.StringVar(&on, "host", "", "host to run on")
	return cmd
}

func (a *app) run(ctx context.Context, envName, service, on string, r api.RunService) error {
	p, err := a.openToLook(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	env, err := p.environment(envName)
	if err != nil {
		return err
	}
	host, err := p.environments.HostFor(ctx, env, service, on)
	if err != nil {
		return err
	}
	a.view.Close()
	ended, err := p.runOn(ctx, host, env.Name, service, r)
	if err != nil {
		return &deploy.HostError{Host: host.Name, Err: environment.OlderAgent(err)}
	}
	if ended.ExitCode == 0 && ended.Reason == "" {
		return nil
	}
	failed := &exitError{code: max(ended.ExitCode, 1)}
	switch {
	case ended.NotStarted != "":
		failed.failure = failure(notStarted(service, host.Name, ended.NotStarted, ended.Reason), "")
	case ended.Reason != "":
		failed.failure = failure(fmt.Sprintf("%s on %s: %s", service, host.Name, ended.Reason), "")
	}
	failed.failure.Conclusion = ""
	return failed
}

// runOn runs the container on a host and returns how it ended. It lasts as long
// as this process: the agent removes it when that ends.
func (p *project) runOn(ctx context.Context, host *deploy.Host, env, service string, r api.RunService) (*api.ServiceRun, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type end struct {
		run *api.ServiceRun
		err error
	}
	type container struct {
		id      string
		started bool
	}
	r.Key = rand.Text()
	tell := event.Func(func(e event.Event) { fmt.Fprintln(os.Stderr, e.Text) })
	ready, ended := make(chan container, 1), make(chan end, 1)
	go func() { // ends with the container, or with ctx
		on := host.Client.Environment(p.spec.Name, env)
		run, err := deploy.RunService(ctx, host, on, service, r, tell, func(id string, started bool) { ready <- container{id, started} })
		ended <- end{run, err}
	}()
	j := &joinedRun{app: p.app, engine: environment.EngineOf(host), run: r, out: &counted{to: os.Stdout}, errOut: &counted{to: os.Stderr}}
	for {
		select {
		case e := <-ended:
			return e.run, e.err
		case c := <-ready:
			if c.started {
				j.rejoin(ctx, c.id)
				continue
			}
			if err := j.start(ctx, c.id); err != nil {
				cancel()
				<-ended
				return nil, err
			}
		}
	}
}

// joinedRun is a container whose streams are this process's. What came of them is
// counted, so that a replaced agent can be asked for the rest.
type joinedRun struct {
	app         *app
	engine      *environment.Engine
	run         api.RunService
	out, errOut *counted
}

// start starts the container with its streams joined, until it ends or the agent
// does. How the container ends is the call's to say, not the streams'.
func (j *joinedRun) start(ctx context.Context, id string) error {
	path, query := "/containers/"+id, "/attach?stream=1&stdout=1&stderr=1"
	if j.run.Stdin {
		query += "&stdin=1"
	}
	conn, r, err := j.engine.TakeOver(ctx, path+query, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := j.engine.Post(ctx, path+"/start", nil, nil); err != nil {
		return err
	}
	_ = j.app.join(ctx, conn, r, streams{engine: j.engine, tty: j.run.TTY, stdin: j.run.Stdin, path: path, out: j.out, errOut: j.errOut})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// rejoin passes on what the container prints after what came already. Its input
// is over: what was on its way to the agent of before is lost.
func (j *joinedRun) rejoin(ctx context.Context, id string) {
	if j.run.Stdin {
		fmt.Fprintln(os.Stderr, "The agent was replaced: the program goes on, without input from here.")
	}
	if j.run.TTY { // its log has lines, which are not what a terminal shows
		conn, r, err := j.engine.TakeOver(ctx, "/containers/"+id+"/attach?stream=1&stdout=1&stderr=1", nil)
		if err != nil {
			return // it has ended
		}
		defer conn.Close()
		_ = j.app.join(ctx, conn, r, streams{engine: j.engine, tty: true, path: "/containers/" + id, out: j.out, errOut: j.errOut})
		return
	}
	query := url.Values{"follow": {"1"}, "stdout": {"1"}, "stderr": {"1"}}
	out, errOut := &after{skip: j.out.n, to: j.out}, &after{skip: j.errOut.n, to: j.errOut}
	if err := j.engine.Logs(ctx, id, query, false, out, errOut); err != nil {
		fmt.Fprintln(os.Stderr, "Reading its output again:", err)
	}
}

// counted passes bytes on and counts them.
type counted struct {
	to io.Writer
	n  int64
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// after passes bytes on, but for the first few.
type after struct {
	skip int64
	to   io.Writer
}

// Write implements io.Writer.
func (a *after) Write(b []byte) (int, error) {
	skipped := min(a.skip, int64(len(b)))
	a.skip -= skipped
	if int(skipped) == len(b) {
		return len(b), nil
	}
	n, err := a.to.Write(b[skipped:])
	return int(skipped) + n, err
}
