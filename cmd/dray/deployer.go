package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"dray/builder/registry"
	"dray/deploy"
	"dray/deploy/evidence"
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

	mu     sync.Mutex
	opened map[string]*openEnvironment // by name
}

// awayError is that some hosts of an environment can't be reached. It can be
// changed without them.
type awayError struct {
	error
	hosts []string
}

func (e *awayError) Unwrap() error { return e.error }

// Open connects to the environment's hosts.
func (d *deployer) Open(ctx context.Context, env *pipeline.Environment, sink event.Sink) (run.Environment, error) {
	fleet, err := d.project.fleet(ctx, env, sink, d.skip...)
	if err != nil {
		err = fmt.Errorf("reaching %s: %w", env.Name, err)
		if away := deploy.FailedHosts(err); len(away) > 0 && len(away) < len(env.Hosts)-len(d.skip) {
			err = &awayError{error: err, hosts: away}
		}
		return nil, err
	}
	open := &openEnvironment{deployer: d, env: env, fleet: fleet}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened == nil {
		d.opened = map[string]*openEnvironment{}
	}
	d.opened[env.Name] = open
	return open, nil
}

// openEnvironment is a connected environment.
type openEnvironment struct {
	deployer *deployer
	env      *pipeline.Environment
	fleet    *deploy.Fleet
}

func (o *openEnvironment) Close() { o.fleet.Close() }

// Running reads the release that the hosts have confirmed.
func (o *openEnvironment) Running(ctx context.Context) (*pipeline.Running, error) {
	seen, err := o.fleet.Observe(ctx)
	if err != nil {
		return nil, err
	}
	out := &pipeline.Running{}
	for _, name := range o.fleet.Names() {
		env := seen[name]
		if env.Current == nil || env.Deployment != nil || (out.Release != nil && env.Current.ReleaseNumber() != out.Release.ReleaseNumber()) {
			out.Differ = append(out.Differ, name)
		}
		if d := env.Deployment; d != nil && d.Held != nil {
			out.Held = d.ReleaseNumber()
		}
		if env.Current.ReleaseNumber().Compare(out.Release.ReleaseNumber()) > 0 {
			out.Release = env.Current
		}
		if env.Freeze != nil {
			out.Locked = lockedText(o.env.Name, env.Freeze)
		}
		out.Approvals = append(out.Approvals, env.Approvals...)
	}
	if out.Release == nil {
		out.Differ = nil // nothing ran yet, and all agree on that
	}
	return out, nil
}

// Evidence asks every host for its statement about the release, checks it with
// the key that dray.lock.hcl has for the host, and looks that all is healthy
// still. A host whose key nobody has recorded yet is taken at the word of its
// SSH connection.
func (o *openEnvironment) Evidence(ctx context.Context, r *pipeline.Release) (*pipeline.Evidence, error) {
	var mu sync.Mutex
	out := &pipeline.Evidence{Age: -1}
	var errs []error
	var group sync.WaitGroup
	for _, h := range o.fleet.Hosts() {
		group.Go(func() {
			age, fault, err := o.evidenceOf(ctx, h, r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, &deploy.HostError{Host: h.Name, Err: err})
			}
			if fault != "" {
				out.Faults = append(out.Faults, h.Name+": "+fault)
			}
			if out.Age < 0 || age < out.Age {
				out.Age = age
			}
		})
	}
	group.Wait()
	slices.Sort(out.Faults)
	return out, errors.Join(errs...)
}

func (o *openEnvironment) evidenceOf(ctx context.Context, h *deploy.Host, r *pipeline.Release) (age time.Duration, fault string, err error) {
	facts, err := h.Client.Host(ctx)
	if err != nil {
		return 0, "", err
	}
	env := h.Client.Environment(o.fleet.Project, o.env.Name)
	envelope, err := env.Evidence(ctx, r.ReleaseNumber())
	if err != nil {
		var refused *api.Error
		if errors.As(err, &refused) && refused.Code == api.CodeNotFound {
			return 0, fmt.Sprintf("it swears nothing about release %s", r.ReleaseNumber()), nil
		}
		return 0, "", err
	}
	key := o.deployer.project.lock.AgentKey(h.Name)
	if key == nil {
		key = facts.PublicKey
	}
	p, err := evidence.Check(envelope, key, evidence.Want{Project: o.fleet.Project, Environment: o.env.Name, Host: h.Name, Release: r})
	if err != nil {
		return 0, err.Error(), nil //nolint:nilerr // evidence that does not hold is an answer
	}
	return facts.Now.Sub(p.HealthySince), "", nil
}

// Releases returns the stable releases that all hosts keep, newest first.
func (o *openEnvironment) Releases(ctx context.Context) ([]pipeline.Release, error) {
	var mu sync.Mutex
	count := map[string]int{} // by content: what differs between hosts is kept on none
	byContent := map[string]pipeline.Release{}
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
				key := r.ReleaseNumber().String() + " " + r.ContentHash()
				count[key]++
				byContent[key] = r
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out []pipeline.Release
	for key, n := range count {
		if n == len(o.fleet.Hosts()) {
			out = append(out, byContent[key])
		}
	}
	slices.SortFunc(out, func(a, b pipeline.Release) int { return b.ReleaseNumber().Compare(a.ReleaseNumber()) })
	return out, nil
}

// Before finds, in the first host's history, what ran before a release came.
func (o *openEnvironment) Before(ctx context.Context, n pipeline.ReleaseNumber) (pipeline.ReleaseNumber, error) {
	h := o.fleet.Hosts()[0]
	records, err := h.Client.Environment(o.fleet.Project, o.env.Name).History(ctx, 0)
	if err != nil {
		return pipeline.ReleaseNumber{}, &deploy.HostError{Host: h.Name, Err: err}
	}
	for _, r := range records { // newest first
		if r.ReleaseNumber() == n && r.Result == api.StateConfirmed && r.Kind != pipeline.KindRollback && r.FromNumber() != n {
			return r.FromNumber(), nil
		}
	}
	return pipeline.ReleaseNumber{}, nil
}

// Preview says under which name a release would come, and where to.
func (o *openEnvironment) Preview(ctx context.Context, r pipeline.Release) (pipeline.Release, error) {
	return o.fleet.Preview(ctx, r, o.place)
}

// place spreads instances; a skipped host keeps its share.
func (o *openEnvironment) place(previous map[string][]string) map[string][]string {
	return plan.Place(o.env.Services, o.env.Hosts, previous)
}

// Deploy brings a release onto the hosts.
func (o *openEnvironment) Deploy(ctx context.Context, d pipeline.Deployment) (*pipeline.Deployed, error) {
	sink := event.With(o.deployer.project.app.view, func(e *event.Event) { e.Environment = o.env.Name })
	origins := o.deployer.project.originsOf(d.Release)
	o.deployer.mu.Lock()
	origin := o.deployer.opened[d.Origin]
	o.deployer.mu.Unlock()
	if origin != nil {
		for _, h := range origin.fleet.Hosts() {
			o.deployer.project.connector.relay.add(origin.source(h))
		}
	}
	if err := origins.relayed(); err != nil {
		return nil, err
	}
	result, err := o.fleet.Deploy(ctx, deploy.Request{
		Deployment: d, LockWait: o.deployer.lockWait, Place: o.place,
		Sources: func(h *deploy.Host, image pipeline.ReleaseImage) []pipeline.ImageSource {
			return origins.sources(ctx, h, image.Digest, sink)
		},
	})
	if err != nil {
		return nil, err
	}
	if !result.Unchanged {
		origins.publish(ctx, o.fleet, result.Release, sink)
	}
	return result, nil
}

// TakeBack ends what is held.
func (o *openEnvironment) TakeBack(ctx context.Context, base pipeline.ReleaseNumber) error {
	return o.fleet.TakeBack(ctx, o.deployer.project.app.actor(), o.deployer.lockWait, base)
}

// source is a host's own images, asked through its connection.
func (o *openEnvironment) source(h *deploy.Host) registry.Source {
	return registry.Dial(h.Name, "", func(ctx context.Context) (net.Conn, error) {
		return o.deployer.project.connector.engineOf(ctx, h).dial(ctx)
	})
}

// Addresses says how this machine reaches each host.
func (o *openEnvironment) Addresses() map[string]string {
	out := map[string]string{}
	for _, name := range o.fleet.Names() {
		out[name] = o.deployer.project.connector.address(name)
	}
	return out
}
