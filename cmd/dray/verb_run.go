package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/deploy/environment"
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
also when dray is killed or the connection is cut.

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
// as the call: the agent removes it when that ends.
func (p *project) runOn(ctx context.Context, host *deploy.Host, env, service string, r api.RunService) (*api.ServiceRun, error) {
	ctx, cancel := context.WithCancel(ctx)
	type end struct {
		run *api.ServiceRun
		err error
	}
	staged, ended := make(chan string, 1), make(chan end, 1)
	go func() { // ends with the container, or with ctx
		run, err := host.Client.Environment(p.spec.Name, env).RunService(ctx, service, r, func(id string, _ bool) { staged <- id })
		ended <- end{run, err}
	}()
	select {
	case e := <-ended:
		cancel()
		return e.run, e.err
	case id := <-staged:
		err := p.app.startJoined(ctx, environment.EngineOf(host), "/containers/"+id, r)
		if err != nil {
			cancel()
		}
		e := <-ended
		cancel()
		if err != nil {
			return nil, err
		}
		return e.run, e.err
	}
}

// startJoined starts a container with its streams joined to this process's,
// until it ends.
func (a *app) startJoined(ctx context.Context, e *environment.Engine, path string, run api.RunService) error {
	query := "/attach?stream=1&stdout=1&stderr=1"
	if run.Stdin {
		query += "&stdin=1"
	}
	conn, r, err := e.TakeOver(ctx, path+query, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := e.Post(ctx, path+"/start", nil, nil); err != nil {
		return err
	}
	return a.join(ctx, conn, r, streams{engine: e, tty: run.TTY, stdin: run.Stdin, path: path})
}
