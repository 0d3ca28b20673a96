package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"dray/targets/agent"
	"dray/targets/agent/assembly"
	"dray/targets/connect"
	"dray/targets/runtime"
)

// shutdown stops all containers of a host that goes down, in order, each with
// its stop signal and its grace. They run again after the next boot, or after
// resume. It does the same whether an agent runs, hangs or is gone: it ends the
// one there is, keeps others from starting what is stopped, and does it itself.
//
// The agent's own end is another thing: it leaves containers as they are.
func shutdown(ctx context.Context, args []string) (err error) {
	at, log, err := configure("shutdown", args)
	if err != nil {
		return err
	}
	if err := markDown(at.run); err != nil {
		return fmt.Errorf("marking that this host goes down: %w", err)
	}
	if err := connect.StopAgent(ctx); err != nil {
		log.Error("the agent can't be stopped", "error", err)
	}
	lock, err := lockState(ctx, at.state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	host, err := assembly.Open(ctx, assembly.Config{State: at.state, Run: at.run, OCI: at.oci, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { _ = host.Engine.Run(watching) }) // it ends when it is told to, without a fault
	defer watcher.Wait()
	defer stop()
	return haltAll(ctx, host.Engine, log)
}

// haltAll stops containers stage by stage. One that can't be stopped keeps no
// other from it.
func haltAll(ctx context.Context, engine *runtime.Engine, log *slog.Logger) error {
	var mu sync.Mutex
	var faults []error
	for _, stage := range agent.StopOrder(engine.List()) {
		group := errgroup.Group{}
		for _, c := range stage {
			group.Go(func() error {
				log.Info("stopping a container, because the host goes down", "container", c.Spec.Name)
				if err := engine.Halt(ctx, c.ID); err != nil {
					mu.Lock()
					defer mu.Unlock()
					faults = append(faults, err)
				}
				return nil
			})
		}
		_ = group.Wait() // its faults are collected
	}
	return errors.Join(faults...)
}

// resume takes back a shutdown that did not come.
func resume(ctx context.Context, args []string) error {
	at, _, err := configure("resume", args)
	if err != nil {
		return err
	}
	if err := unmark(at.run); err != nil {
		return fmt.Errorf("taking back that this host goes down: %w", err)
	}
	return connect.EnsureAgent(ctx)
}
