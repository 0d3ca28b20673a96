package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dray/testenv"
)

func measureNoopBuild(ctx context.Context, b *Bench) ([]Result, error) {
	if _, err := b.dray(ctx, "build"); err != nil {
		return nil, err
	}
	s, err := b.repeat(ctx, "shop/web", "build")
	if err != nil {
		return nil, err
	}
	return []Result{s.result("no-op `dray build`", "Docker 0.39 s", "0.3 s, later 0.1", 0.3)}, nil
}

func measureChangeOne(ctx context.Context, b *Bench) ([]Result, error) {
	return changes(ctx, b, "one", "one host", "Kamal 6.6 s", "1.2 s", 1.2)
}

func measureChangeThree(ctx context.Context, b *Bench) ([]Result, error) {
	inTurn, err := changes(ctx, b, "three", "three hosts, in turn", "Kamal 10.9 s", "1.6 s", 1.6)
	if err != nil {
		return nil, err
	}
	together, err := changes(ctx, b, "three", "three hosts, max_parallel = 3", "Kamal 10.9 s", "1.6 s", 1.6, "--var", "parallel=3")
	return append(inTurn, together...), err
}

// changes measures one-line changes of an environment.
func changes(ctx context.Context, b *Bench, env, where, today, aim string, limit float64, args ...string) ([]Result, error) {
	if err := b.ready(ctx, env); err != nil {
		return nil, err
	}
	var s series
	var live []float64
	for range b.Count {
		r, at, err := b.change(ctx, env, args...)
		if err != nil {
			return nil, err
		}
		s.add(r)
		live = append(live, at.Seconds())
	}
	first := s.result("one-line change → live on "+where, today, aim, limit)
	first.Values = live
	ends := s.result("… until the command ends", today, "", 0)
	return []Result{first, ends}, nil
}

func measureNoopOne(ctx context.Context, b *Bench) ([]Result, error) {
	return noops(ctx, b, "one", "one host", "Kamal 4.6 s", "0.5 s", 0.5)
}

func measureNoopThree(ctx context.Context, b *Bench) ([]Result, error) {
	return noops(ctx, b, "three", "three hosts", "Kamal 6.2 s", "0.6 s", 0.6)
}

func noops(ctx context.Context, b *Bench, env, where, today, aim string, limit float64) ([]Result, error) {
	if _, err := b.dray(ctx, "deploy", env); err != nil { // whatever ran before
		return nil, err
	}
	b.deployed[env] = true
	s, err := b.repeat(ctx, "Nothing to do", "deploy", env)
	if err != nil {
		return nil, err
	}
	return []Result{s.result("`dray deploy` with nothing to do, "+where, today, aim, limit)}, nil
}

// measureFirst deploys to a host that has never heard of dray. The image is
// built already: that is what the other rows measure.
func measureFirst(ctx context.Context, b *Bench) ([]Result, error) {
	if _, err := b.dray(ctx, "build"); err != nil {
		return nil, err
	}
	var s series
	for range b.Count {
		if err := b.wipe(ctx, "clean"); err != nil {
			return nil, err
		}
		r, err := b.dray(ctx, "deploy", "clean")
		if err != nil {
			return nil, err
		}
		s.add(r)
	}
	return []Result{s.result("first deploy to a clean host, bootstrap included", "Kamal 9.7 s (Docker there already)", "5 s", 5)}, nil
}

// wipe gives the environment's hosts empty disks. Their agents will sign with
// new keys, so those that the project knows are forgotten.
func (b *Bench) wipe(ctx context.Context, env string) error {
	delete(b.deployed, env)
	if err := os.RemoveAll(filepath.Join(b.world.Project, "dray.lock.hcl")); err != nil {
		return err
	}
	for _, e := range environments {
		if e.name != env {
			continue
		}
		for _, name := range e.hosts {
			if err := wipeHost(ctx, b.world.Lab.Host(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// wipeHost cuts a host's power, takes its disk away and boots it again.
func wipeHost(ctx context.Context, h *testenv.Host) error {
	if err := h.Stop(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(h.Dir(), "disk")); err != nil {
		return fmt.Errorf("wiping host %s: %w", h.Name, err)
	}
	return h.Start(ctx)
}

// measureRollback goes back to the release before, and, without measuring
// that, forth again.
func measureRollback(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.twoReleases(ctx, "one"); err != nil {
		return nil, err
	}
	var s series
	for range b.Count {
		r, err := b.dray(ctx, "rollback", "one")
		if err != nil {
			return nil, err
		}
		s.add(r)
		if err := b.forth(ctx); err != nil {
			return nil, err
		}
	}
	return []Result{s.result("`rollback`", "Kamal 2.6 s", "0.6 s", 0.6)}, nil
}

// twoReleases makes sure that there is a release to go back to.
func (b *Bench) twoReleases(ctx context.Context, env string) error {
	if err := b.ready(ctx, env); err != nil {
		return err
	}
	_, _, err := b.change(ctx, env)
	return err
}

// forth brings environment one to the newest release that it keeps.
func (b *Bench) forth(ctx context.Context) error {
	newest, err := b.newest(ctx, "one")
	if err != nil {
		return err
	}
	_, err = b.dray(ctx, "rollback", "one", fmt.Sprint(newest))
	return err
}

// newest is the number of the newest release that an environment's first host
// keeps.
func (b *Bench) newest(ctx context.Context, env string) (number int, err error) {
	for _, e := range environments {
		if e.name != env {
			continue
		}
		releases, err := agentOf(b.world.Lab.Host(e.hosts[0])).Environment("shop", env).Releases(ctx)
		if err != nil {
			return 0, err
		}
		for _, r := range releases {
			number = max(number, r.Number)
		}
	}
	return number, nil
}

func measureExec(ctx context.Context, b *Bench) ([]Result, error) {
	if err := b.ready(ctx, "one"); err != nil {
		return nil, err
	}
	s, err := b.repeat(ctx, "", "exec", "one", "web", "--", "true")
	if err != nil {
		return nil, err
	}
	check, err := b.dray(ctx, "exec", "one", "web", "--", "echo", "it ran")
	if err == nil && strings.TrimSpace(check.Stdout) != "it ran" {
		err = errors.New("exec did not bring back what the command printed: " + check.Stdout)
	}
	return []Result{s.result("`exec web -- true`", "Kamal 1.14 s", "0.25 s", 0.25)}, err
}
