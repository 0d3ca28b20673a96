package environment

import (
	"context"
	"errors"
	"sync"
	"time"

	"dray/deploy/ssh"
	"dray/pipeline"
	"dray/targets/api"
)

// HostStatus is what one host says of one environment.
type HostStatus struct {
	Environment string           `json:"environment"`
	Host        string           `json:"host"`
	Error       string           `json:"error,omitempty"` // it could not be asked
	State       *api.Environment `json:"state,omitempty"`
}

// Status is an environment over all its hosts.
type Status struct {
	Environment string            `json:"environment"`
	Release     int               `json:"release"` // 0: nothing, or the hosts differ
	Revision    int               `json:"revision,omitempty"`
	Since       time.Time         `json:"since,omitzero"`
	Images      map[string]string `json:"images"`   // service → digest
	Services    map[string]string `json:"services"` // service → "2/2 healthy"
	Notes       []string          `json:"notes,omitempty"`
	Hosts       []HostStatus      `json:"hosts"`

	Differ map[string]string `json:"-"` // service → which hosts run which digest, where they differ
}

// ReleaseNumber is the release that all hosts run; of none, where they differ.
func (v *Status) ReleaseNumber() pipeline.ReleaseNumber {
	return pipeline.ReleaseNumber{Number: v.Release, Revision: v.Revision}
}

// Current is the release that all hosts run, if they do.
func (v *Status) Current() *pipeline.Release {
	for _, h := range v.Hosts {
		if v.Release > 0 && h.State != nil && h.State.Deployment == nil && h.State.Current.ReleaseNumber() == v.ReleaseNumber() {
			return h.State.Current
		}
	}
	return nil
}

// Look asks every host of every environment. One that does not answer is part
// of the picture, not a failure.
func (o *Opener) Look(ctx context.Context, envs []*pipeline.Environment) []Status {
	all := make([]Status, len(envs))
	var group sync.WaitGroup
	slots := make(chan struct{}, max(o.Parallel, 1))
	for i, env := range envs {
		all[i].Environment = env.Name
		all[i].Hosts = make([]HostStatus, len(env.Hosts))
		for j, name := range env.Hosts {
			group.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				all[i].Hosts[j] = o.LookAt(ctx, env, name)
			})
		}
	}
	group.Wait()
	for i, env := range envs {
		all[i].Sum(env)
	}
	return all
}

// LookAt asks one host.
func (o *Opener) LookAt(ctx context.Context, env *pipeline.Environment, name string) HostStatus {
	host, err := o.Reach(ctx, env.Name, name)
	if err != nil {
		return o.StatusOf(env.Name, name, nil, err)
	}
	state, err := host.Client.Environment(o.Project.Name, env.Name).Get(ctx)
	return o.StatusOf(env.Name, name, state, err)
}

// StatusOf is what asking a host gave. One without the environment, or without
// dray, runs nothing of it.
func (o *Opener) StatusOf(env, host string, state *api.Environment, err error) HostStatus {
	v := HostStatus{Environment: env, Host: host, State: state}
	var refused *api.Error
	if errors.As(err, &refused) && refused.Code == api.CodeNotFound || errors.Is(err, ssh.ErrAbsent) {
		v.State, err = &api.Environment{Project: o.Project.Name, Name: env}, nil
	}
	if err != nil {
		v.State, v.Error = nil, err.Error()
	}
	return v
}
