package environment

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"dray/deploy"
	"dray/pipeline"
	"dray/pipeline/phrase"
)

// SameMachineError is one machine that an environment has under several names: a
// DNS name and an address, say. A deployment would wait for itself there. Nothing
// has changed.
type SameMachineError struct {
	Environment string
	Names       []string // of hosts, sorted
}

func (e *SameMachineError) Error() string {
	return fmt.Sprintf("%s of %s are one machine: one agent with one key answers under these names", phrase.List(e.Names), e.Environment)
}

// Hint says what makes them one.
func (e *SameMachineError) Hint() pipeline.Hint {
	return pipeline.Hint{
		Class: pipeline.Refused, Environment: e.Environment, Conclusion: "Nothing was changed.",
		Next: "leave one of them in the hosts of " + e.Environment +
			"; or, where they are two machines made from one image, remove /var/lib/dray/host.key on one and restart its agent",
	}
}

// distinct refuses hosts that are one machine. Hosts are told apart by what they
// are, the key that their agent signs with, and not by how they are called.
func (e *Environment) distinct(ctx context.Context) error {
	var mu sync.Mutex
	keys := map[string]string{}
	var errs []error
	var group sync.WaitGroup
	for _, h := range e.fleet.Hosts() {
		if h.Absent {
			continue
		}
		group.Go(func() {
			facts, err := h.Client.Host(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, &deploy.HostError{Host: h.Name, Err: err})
				return
			}
			keys[h.Name] = string(facts.PublicKey)
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return oneName(e.env.Name, keys)
}

// oneName is the error of hosts with one key: keys by host.
func oneName(env string, keys map[string]string) error {
	names := map[string][]string{}
	for _, host := range sortedKeys(keys) {
		names[keys[host]] = append(names[keys[host]], host)
	}
	delete(names, "") // an agent that does not say
	for _, key := range sortedKeys(names) {
		if len(names[key]) > 1 {
			return &SameMachineError{Environment: env, Names: names[key]}
		}
	}
	return nil
}
