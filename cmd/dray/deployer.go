package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"dray/builder/registry"
	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/event"
	"dray/pipeline/plan"
	"dray/pipeline/run"
	"dray/targets/api"
)

// deployer joins pipeline/run to deploy.
type deployer struct {
	project  *project
	skip     []string
	lockWait time.Duration
}

// Open connects to the environment's hosts.
func (d *deployer) Open(ctx context.Context, env *pipeline.Environment, sink event.Sink) (run.Environment, error) {
	fleet, err := d.project.fleet(ctx, env, sink, d.skip...)
	if err != nil {
		return nil, fmt.Errorf("reaching %s: %w", env.Name, err)
	}
	return &openEnvironment{deployer: d, env: env, fleet: fleet}, nil
}

// openEnvironment is a connected environment.
type openEnvironment struct {
	deployer *deployer
	env      *pipeline.Environment
	fleet    *deploy.Fleet
}

func (o *openEnvironment) Close() { o.fleet.Close() }

// Running reads the release that the hosts have confirmed.
func (o *openEnvironment) Running(ctx context.Context) (*run.Running, error) {
	seen, err := o.fleet.Observe(ctx)
	if err != nil {
		return nil, err
	}
	out := &run.Running{}
	for _, name := range o.fleet.Names() {
		env := seen[name]
		if env.Current == nil || env.Deployment != nil || (out.Release != nil && env.Current.Number != out.Release.Number) {
			out.Differ = append(out.Differ, name)
		}
		if env.Current != nil && (out.Release == nil || env.Current.Number > out.Release.Number) {
			out.Release = env.Current
		}
		if env.Since.After(out.Since) {
			out.Since = env.Since
		}
		for _, a := range env.Approvals {
			if out.Approved == nil || a.At.After(out.Approved.At) {
				out.Approved = &run.Approval{Release: a.Release, By: a.By, At: a.At}
			}
		}
	}
	if out.Release == nil {
		out.Differ = nil // nothing ran yet, and all agree on that
	}
	return out, nil
}

// Releases returns the stable releases that all hosts keep, newest first.
func (o *openEnvironment) Releases(ctx context.Context) ([]pipeline.Release, error) {
	var mu sync.Mutex
	count := map[int]int{}
	byNumber := map[int]pipeline.Release{}
	var group sync.WaitGroup
	var errs []error
	for _, h := range o.fleet.Hosts() {
		group.Go(func() {
			kept, err := h.Client.Environment(o.fleet.Project, o.env.Name).Releases(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, &deploy.HostError{Host: h.Name, Err: err})
			}
			for _, r := range kept {
				count[r.Number]++
				byNumber[r.Number] = r
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out []pipeline.Release
	for number, n := range count {
		if n == len(o.fleet.Hosts()) {
			out = append(out, byNumber[number])
		}
	}
	slices.SortFunc(out, func(a, b pipeline.Release) int { return b.Number - a.Number })
	return out, nil
}

// Deploy brings a release onto the hosts.
func (o *openEnvironment) Deploy(ctx context.Context, d run.Deployment) (*run.Deployed, error) {
	relay := o.deployer.project.connector.relay
	for _, image := range d.Release.Images {
		relay.allow(image.Digest)
	}
	if origin, ok := d.Origin.(*openEnvironment); ok {
		for _, h := range origin.fleet.Hosts() {
			relay.add(origin.source(h))
		}
	}
	request := deploy.Request{
		Kind: d.Kind, Release: d.Release, Secrets: d.Secrets, LockWait: o.deployer.lockWait,
		Place: func(previous map[string][]string) map[string][]string {
			return plan.Place(o.env.Services, o.fleet.Names(), previous)
		},
		Sources: func(h *deploy.Host, digest string) []api.ImageSource { return o.sources(h, d.Release, digest) },
	}
	if d.Approval != nil {
		request.Approval = &api.Approval{Release: d.Approval.Release, By: d.Approval.By, At: d.Approval.At}
	}
	if d.Verify != nil {
		request.Verify = func(ctx context.Context, r pipeline.Release) ([]api.VerifyResult, error) {
			if err := d.Verify(ctx, r); err != nil {
				return nil, err
			}
			var passed []api.VerifyResult
			for _, v := range o.env.Verify {
				passed = append(passed, api.VerifyResult{Name: v.Name, Passed: true, At: time.Now()})
			}
			return passed, nil
		}
	}
	result, err := o.fleet.Deploy(ctx, request)
	if err != nil {
		return nil, err
	}
	return &run.Deployed{
		Release: result.Release, From: result.From, Unchanged: result.Unchanged,
		Changed: result.Changed, Removed: result.Removed, Received: result.Received,
	}, nil
}

// source is a host's own images, asked through its connection.
func (o *openEnvironment) source(h *deploy.Host) registry.Source {
	return registry.Dial(h.Name, "", func(ctx context.Context) (net.Conn, error) {
		return o.deployer.project.connector.engineOf(ctx, h).dial(ctx)
	})
}

// sources says where a host finds an image: the project's registry first, if
// there is one, then this machine.
func (o *openEnvironment) sources(h *deploy.Host, release pipeline.Release, digest string) []api.ImageSource {
	var out []api.ImageSource
	if o.deployer.project.project.Registry != nil {
		for _, image := range release.Images {
			if image.Digest == digest && strings.HasPrefix(image.Name, o.deployer.project.project.Registry.Address) {
				out = append(out, o.deployer.project.registrySource(image.Name))
				break
			}
		}
	}
	return append(out, api.ImageSource{Kind: "peer", Address: h.Peer})
}

// Addresses says how this machine reaches each host.
func (o *openEnvironment) Addresses() map[string]string {
	out := map[string]string{}
	for _, name := range o.fleet.Names() {
		out[name] = o.deployer.project.connector.address(name)
	}
	return out
}
