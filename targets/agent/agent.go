package agent

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dray/targets/agent/journal"
	"dray/targets/api"
)

// Config is what an agent is made of.
type Config struct {
	State string // folder that survives a reboot: /var/lib/dray
	Log   *slog.Logger
	Parts Parts
	// Bundle is the digest of the installed bundle; "" where the binary was
	// not installed.
	Bundle string
	// StartsAtBoot tells whether the agent starts with the host; nil is no.
	StartsAtBoot func() bool
	// Reach names the host's own firewall, and the ports that are open past it;
	// nil is neither.
	Reach   func() (firewall string, open []api.Open)
	Journal journal.Options // what tests of crashes ask for
}

// Agent brings one host to the releases that it is told to run.
type Agent struct {
	state string
	log   *slog.Logger
	parts Parts

	startsAtBoot func() bool
	reach        func() (firewall string, open []api.Open)

	bundle  string
	journal *journal.Journal
	id      string
	key     ed25519.PrivateKey
	started time.Time
	events  *hub

	jobs      chan func(context.Context) // run by Run
	woken     chan struct{}              // a lease has changed
	scheduled chan struct{}              // a schedule may have changed

	ready chan struct{} // closed once the leases of before are known again

	collecting sync.Mutex     // one clean-up at a time
	queue      *queue         // what the agent does next by itself
	starting   sync.WaitGroup // containers that come back after a boot

	mu           sync.Mutex
	environments map[string]*environment
	names        map[string]string  // environment's key → name that it is kept under; set once
	tasks        map[string]*flight // runs of tasks with a key under way
}

// New opens the agent's state. It starts nothing; Close it unless Run was
// called.
func New(c Config) (*Agent, error) {
	kept, err := journal.Open(filepath.Join(c.State, "agent.db"), c.Journal)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		state: c.State, log: c.Log, parts: c.Parts, startsAtBoot: c.StartsAtBoot, reach: c.Reach, bundle: c.Bundle, journal: kept,
		started: time.Now(), events: newHub(),
		ready:        make(chan struct{}),
		jobs:         make(chan func(context.Context)),
		queue:        newQueue(),
		woken:        make(chan struct{}, 1),
		scheduled:    make(chan struct{}, 1),
		environments: map[string]*environment{}, tasks: map[string]*flight{},
	}
	if a.key, err = signingKey(filepath.Join(c.State, "host.key")); err == nil {
		a.id, err = a.hostID()
	}
	if err == nil {
		err = a.keepNames()
	}
	if err != nil {
		_ = kept.Close() // the first fault is the one to tell
		return nil, err
	}
	return a, nil
}

// Close lets go of the state file.
func (a *Agent) Close() error { return a.journal.Close() }

// Run brings the host to what its journal says, then works until ctx ends. It
// closes the state.
func (a *Agent) Run(ctx context.Context) error {
	defer func() { _ = a.Close() }() // every commit is on disk already
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.work(ctx) })
	group.Go(func() error { return a.queue.run(ctx, a.start) })
	defer a.follow()()
	if err := a.recover(ctx); err != nil {
		return fmt.Errorf("bringing the host to its releases: %w", err)
	}
	group.Go(func() error { return a.watchLeases(ctx) })
	group.Go(func() error { return a.reconcileByClock(ctx) })
	started := make(chan struct{})
	group.Go(func() error {
		defer close(started)
		a.starting.Wait()
		return nil
	})
	group.Go(func() error { return a.runSchedules(ctx, started) })
	return group.Wait()
}

// work runs the jobs that outlive the request that asked for them.
func (a *Agent) work(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case job := <-a.jobs:
			running.Go(func() { job(ctx) })
		}
	}
}

// start has Run run a job on the agent's own context. It reports false when
// ctx ended before.
func (a *Agent) start(ctx context.Context, job func(context.Context)) bool {
	select {
	case a.jobs <- job:
		return true
	case <-ctx.Done():
		return false
	}
}

// wake has watchLeases look again.
func (a *Agent) wake() {
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

func (a *Agent) allEnvironments() []*environment {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]*environment, 0, len(a.environments))
	for _, e := range a.environments {
		all = append(all, e)
	}
	return all
}
