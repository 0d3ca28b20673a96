package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dray/cmd/internal/ui"
	"dray/deploy"
	"dray/deploy/environment"
	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/targets/api"
)

func psCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "ps [ENV]",
		Short: "List the containers on the hosts",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.openToLook(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			envs, err := p.chosen(args)
			if err != nil {
				return err
			}
			views := p.environments.Look(cmd.Context(), envs)
			if err := context.Cause(cmd.Context()); err != nil {
				return err // half an answer is none
			}
			var hosts []environment.HostStatus
			for _, v := range views {
				hosts = append(hosts, v.Hosts...)
			}
			return results(a, hosts, func(w io.Writer) error { return printPs(w, hosts, all) })
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those kept for rollback, too")
	return cmd
}

func printPs(w io.Writer, hosts []environment.HostStatus, all bool) error {
	if err := psTable(hosts, all).Print(w); err != nil {
		return err
	}
	for _, h := range hosts {
		if h.Error != "" {
			fmt.Fprintln(w, noteLine(h.Environment, h.Host+": "+environment.WithoutHost(h.Error, h.Host)))
		}
	}
	return nil
}

func psTable(hosts []environment.HostStatus, all bool) *ui.Table {
	t := &ui.Table{
		Header: []string{"ENV", "HOST", "INSTANCE", "RELEASE", "STATE", "HEALTH", "SERVING", "RESTARTS", "ADDRESS", "IMAGE"},
		Spare:  []string{"ADDRESS", "IMAGE", "RESTARTS", "SERVING", "ENV"},
	}
	for _, h := range hosts {
		if h.Error != "" {
			continue
		}
		for _, i := range h.State.Instances {
			if !all && i.State != "running" && i.ReleaseNumber() != h.State.Current.ReleaseNumber() {
				continue
			}
			addInstance(t, h, i)
		}
		for _, i := range h.State.Runs {
			addInstance(t, h, i)
		}
	}
	return t
}

func addInstance(t *ui.Table, h environment.HostStatus, i api.InstanceStatus) {
	serving := "-"
	if i.Serving {
		serving = "yes"
	}
	state := i.State
	if i.State == "running" {
		state += " " + since(i.Started)
	}
	t.Add(h.Environment, h.Host, i.Instance, i.ReleaseNumber().String(), state, i.Health, serving, strconv.Itoa(i.Restarts), i.Address, phrase.Digest(i.Image))
}

// find lists the containers of an environment, of one service ("web") or of
// one instance ("web/2"), over all hosts that can be asked.
func (p *project) find(ctx context.Context, env *pipeline.Environment, service string) ([]environment.Container, silent, error) {
	labels := []string{"dray.project=" + p.project.Name, "dray.environment=" + env.Name}
	name, index, exact := strings.Cut(service, "/")
	if service != "" {
		if env.Services[name] == nil {
			return nil, nil, unknown("service", name, "in "+env.Name, sortedNames(env.Services))
		}
		labels = append(labels, "dray.service="+name)
	}
	if _, err := strconv.Atoi(index); exact && err != nil {
		return nil, nil, fmt.Errorf("instance %q: write it as %s/1", service, name)
	}
	answers, missed, err := ask(ctx, p, env, func(ctx context.Context, h *deploy.Host) ([]environment.Container, error) {
		return environment.EngineOf(h).List(ctx, labels...)
	})
	var found []environment.Container
	for _, a := range answers {
		found = append(found, a.Value...)
	}
	if len(found) == 0 && err == nil {
		err = missed.Err() // what there is may be there
	}
	if exact && err == nil {
		found, err = instance(service, env.Name, found, missed)
	}
	slices.SortFunc(found, func(a, b environment.Container) int {
		return strings.Compare(a.Instance()+a.Engine.Host, b.Instance()+b.Engine.Host)
	})
	return found, missed, err
}

// instance keeps the containers of one instance. Where there is none, it says
// which there are.
func instance(name, env string, found []environment.Container, missed silent) ([]environment.Container, error) {
	var of []environment.Container
	others := map[string]bool{}
	for _, c := range found {
		others[c.Instance()] = true
		if c.Instance() == name {
			of = append(of, c)
		}
	}
	if len(of) > 0 || len(others) == 0 {
		return of, nil
	}
	if err := missed.Err(); err != nil {
		return nil, err // it may be there
	}
	f := failure(fmt.Sprintf("no instance %s in %s; there are: %s", name, env, strings.Join(sortedNames(others), ", ")), "dray ps "+env)
	f.Conclusion = ""
	return nil, &exitError{code: exitFailed, failure: f}
}

// findRunning is the first running container that find gives.
func (p *project) findRunning(ctx context.Context, envName, service string) (*environment.Container, error) {
	env, err := p.environment(envName)
	if err != nil {
		return nil, err
	}
	found, missed, err := p.find(ctx, env, service)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(found, func(c environment.Container) bool { return c.State == "running" }); i >= 0 {
		return &found[i], nil // another host's failure does not matter here
	}
	return nil, p.nothing(missed, env.Name, service)
}

// nothing says that nothing of it runs, or why that is not known.
func (p *project) nothing(missed silent, env, what string) error {
	if len(missed) > 0 {
		return missed.Err()
	}
	return &exitError{code: exitFailed, failure: failure(
		phrase.Words("nothing of", cmp.Or(what, p.project.Name), "runs in", env), "dray status "+env)}
}
