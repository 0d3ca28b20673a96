package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/phrase"
)

// Find lists the containers of an environment, of one service ("web") or of one
// instance ("web/2"), over all hosts that can be asked.
func (o *Opener) Find(ctx context.Context, env *pipeline.Environment, service string) ([]Container, Silent, error) {
	labels := []string{"dray.project=" + o.Project.Name, "dray.environment=" + env.Name}
	name, index, exact := strings.Cut(service, "/")
	if service != "" {
		if env.Services[name] == nil {
			return nil, nil, &pipeline.UnknownError{Kind: "service", Name: name, Where: "in " + env.Name, Declared: sortedKeys(env.Services)}
		}
		labels = append(labels, "dray.service="+name)
	}
	if _, err := strconv.Atoi(index); exact && err != nil {
		return nil, nil, fmt.Errorf("instance %q: write it as %s/1", service, name)
	}
	answers, missed, err := Ask(ctx, o, env, func(ctx context.Context, h *deploy.Host) ([]Container, error) {
		return EngineOf(h).List(ctx, labels...)
	})
	var found []Container
	for _, a := range answers {
		found = append(found, a.Value...)
	}
	if len(found) == 0 && err == nil {
		err = missed.Err() // what there is may be there
	}
	if exact && err == nil {
		found, err = ofInstance(service, env.Name, found, missed)
	}
	slices.SortFunc(found, func(a, b Container) int {
		return strings.Compare(a.Instance()+a.Engine.Host, b.Instance()+b.Engine.Host)
	})
	return found, missed, err
}

// FindRunning is the first running container that Find gives.
func (o *Opener) FindRunning(ctx context.Context, env *pipeline.Environment, service string) (*Container, error) {
	found, missed, err := o.Find(ctx, env, service)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(found, func(c Container) bool { return c.State == "running" }); i >= 0 {
		return &found[i], nil // another host's failure does not matter here
	}
	return nil, o.Nothing(missed, env.Name, service)
}

// Nothing is the error that nothing of it runs, or why that is not known.
func (o *Opener) Nothing(missed Silent, env, what string) error {
	if len(missed) > 0 {
		return missed.Err()
	}
	return pipeline.WithHint(errors.New(phrase.Words("nothing of", cmp.Or(what, o.Project.Name), "runs in", env)),
		pipeline.Hint{Conclusion: "Nothing was changed.", Next: "dray status " + env})
}

// ofInstance keeps the containers of one instance. Where there is none, it says
// which there are.
func ofInstance(name, env string, found []Container, missed Silent) ([]Container, error) {
	var of []Container
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
	return nil, pipeline.WithHint(fmt.Errorf("no instance %s in %s; there are: %s", name, env, strings.Join(sortedKeys(others), ", ")),
		pipeline.Hint{Next: "dray ps " + env})
}

// HostFor connects to the host on which one more container of a service can run:
// the one that is named, or the first that has an instance of it.
func (o *Opener) HostFor(ctx context.Context, env *pipeline.Environment, service, on string) (*deploy.Host, error) {
	if env.Services[service] == nil {
		return nil, &pipeline.UnknownError{Kind: "service", Name: service, Where: "in " + env.Name, Declared: sortedKeys(env.Services)}
	}
	hosts := env.Hosts
	if on != "" {
		if !slices.Contains(env.Hosts, on) {
			return nil, &pipeline.UnknownError{Kind: "host", Name: on, Where: "in " + env.Name, Declared: env.Hosts}
		}
		hosts = []string{on}
	}
	var errs []error
	for _, name := range hosts {
		v := o.LookAt(ctx, env, name)
		if v.Error != "" {
			errs = append(errs, &deploy.HostError{Host: name, Err: errors.New(v.Error)})
			continue
		}
		if v.State.Current != nil && len(InstancesOf(service, v.State.Current.Placement[name])) > 0 {
			return o.Reach(ctx, env.Name, name)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return nil, pipeline.WithHint(fmt.Errorf("no instance of %s is on %s, which has its image, volumes and secrets", service, strings.Join(hosts, " or ")),
		pipeline.Hint{Next: "dray status " + env.Name})
}
