package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"dray/deploy"
	"dray/deploy/ssh"
	"dray/pipeline/event"
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
			views := p.look(cmd.Context(), envs)
			var hosts []hostView
			for _, v := range views {
				hosts = append(hosts, v.Hosts...)
			}
			return a.result(hosts, func(w io.Writer) error { return printPs(w, hosts, all) })
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those kept for rollback, too")
	return cmd
}

func printPs(w io.Writer, hosts []hostView, all bool) error {
	if err := psTable(hosts, all).print(w); err != nil {
		return err
	}
	for _, h := range hosts {
		if h.Error != "" {
			fmt.Fprintf(w, "! %s %s: %s\n", h.Environment, h.Host, strings.ReplaceAll(withoutHost(h.Error, h.Host), "\n", "\n    "))
		}
	}
	return nil
}

func psTable(hosts []hostView, all bool) *table {
	t := &table{
		header: []string{"ENV", "HOST", "INSTANCE", "RELEASE", "STATE", "HEALTH", "SERVING", "RESTARTS", "ADDRESS", "IMAGE"},
		spare:  []string{"ADDRESS", "IMAGE", "RESTARTS", "SERVING", "ENV"},
	}
	for _, h := range hosts {
		if h.Error != "" {
			continue
		}
		for _, i := range h.State.Instances {
			if !all && i.State != "running" && i.ReleaseNumber() != h.State.Current.ReleaseNumber() {
				continue
			}
			t.instance(h, i)
		}
		for _, i := range h.State.Runs {
			t.instance(h, i)
		}
	}
	return t
}

func (t *table) instance(h hostView, i api.InstanceStatus) {
	serving := "-"
	if i.Serving {
		serving = "yes"
	}
	state := i.State
	if i.State == "running" {
		state += " " + since(i.Started)
	}
	t.add(h.Environment, h.Host, i.Instance, i.ReleaseNumber().String(), state, i.Health, serving, strconv.Itoa(i.Restarts), i.Address, shortDigest(i.Image))
}

// find lists the containers of an environment, of one service ("web") or of
// one instance ("web/2"), over all hosts.
func (p *project) find(ctx context.Context, envName, service string) ([]listed, error) {
	env, err := p.environment(envName)
	if err != nil {
		return nil, err
	}
	labels := []string{"dray.project=" + p.project.Name, "dray.environment=" + env.Name}
	name, index, exact := strings.Cut(service, "/")
	if service != "" {
		if env.Services[name] == nil {
			return nil, unknown("service", name, "in "+env.Name, sortedNames(env.Services))
		}
		labels = append(labels, "dray.service="+name)
	}
	if _, err := strconv.Atoi(index); exact && err != nil {
		return nil, fmt.Errorf("instance %q: write it as %s/1", service, name)
	} else if exact {
		labels = append(labels, "dray.instance="+service)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	var found []listed
	var errs []error
	for _, hostName := range env.Hosts {
		group.Go(func() {
			got, err := p.findOn(ctx, hostName, labels)
			mu.Lock()
			defer mu.Unlock()
			found = append(found, got...)
			if err != nil {
				errs = append(errs, &deploy.HostError{Host: hostName, Err: err})
			}
		})
	}
	group.Wait()
	slices.SortFunc(found, func(a, b listed) int {
		return strings.Compare(a.instance()+a.engine.host, b.instance()+b.engine.host)
	})
	return found, errors.Join(errs...)
}

func (p *project) findOn(ctx context.Context, hostName string, labels []string) ([]listed, error) {
	host, err := p.connector.Connect(ctx, *p.project.Hosts[hostName], event.Discard)
	if errors.Is(err, ssh.ErrAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return p.connector.engineOf(ctx, host).list(ctx, labels...)
}

// findRunning is the first running container that find gives.
func (p *project) findRunning(ctx context.Context, env, service string) (*listed, error) {
	found, err := p.find(ctx, env, service)
	if i := slices.IndexFunc(found, func(c listed) bool { return c.State == "running" }); i >= 0 {
		return &found[i], nil // another host's failure does not matter here
	}
	if err != nil {
		return nil, err
	}
	return nil, p.nothing(env, service)
}

func (p *project) nothing(env, service string) error {
	return &exitError{code: exitFailed, failure: failure(
		join("nothing of", orWord(service, p.project.Name), "runs in", env), "dray status "+env)}
}
