package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dray/targets/runtime/cgroup"
	"dray/targets/runtime/shim"
)

const unknownExit = 255 // of a container that the host's end took with it

// Recover finds the containers that an earlier agent left: it takes up those
// whose shims live, enters the ends of those that ended meanwhile, and clears
// away what was never whole. It is called once, before anything else. What is
// Wanted and does not run is the caller's to start again.
func (e *Engine) Recover(ctx context.Context) error {
	entries, err := os.ReadDir(e.Root)
	if err != nil {
		return fmt.Errorf("finding containers: %w", err)
	}
	states, err := e.ociStates(ctx)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := e.recoverOne(ctx, entry.Name(), states[entry.Name()]); err != nil {
			return fmt.Errorf("taking up container %s: %w", entry.Name(), err)
		}
	}
	return e.clearStrays(ctx, states)
}

func (e *Engine) recoverOne(ctx context.Context, id, ociState string) error {
	var r record
	err := readJSON(filepath.Join(e.stateDir(id), stateName), &r)
	if err == nil {
		err = readJSON(filepath.Join(e.stateDir(id), specName), &r.Spec)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			e.Log.Error("a container's state can't be read: it is removed", "container", id, "error", err)
		}
		return e.clearFragment(ctx, id)
	}
	c := newContainer(r.Container)
	c.lock <- struct{}{}
	defer c.release()
	e.mu.Lock()
	e.containers[id], e.names[r.Spec.Name] = c, id
	e.mu.Unlock()
	if r.live() && r.BootID == e.bootID && e.takeUp(c, r, ociState) {
		return nil
	}
	if !r.live() {
		return e.clearProcess(ctx, id) // of a start that was cut off
	}
	exit, reason := e.missedEnd(c, r)
	e.ended(ctx, c, exit, reason)
	return nil
}

// takeUp joins a container whose shim lives, and says whether it does.
func (e *Engine) takeUp(c *container, r record, ociState string) bool {
	p, err := openProcess(r.Pid)
	if err != nil || p.start != r.PidStart {
		p.close()
		return false
	}
	conn, err := shim.Watch(e.runDir(c.id))
	if err != nil {
		p.close()
		return false
	}
	c.process = p
	c.set(func(v *Container) {
		switch {
		case ociState == "paused":
			v.State = Paused
		case ociState == "running" && v.State != Running: // started just before the agent died
			v.State = Running
			if v.Started.IsZero() {
				v.Started = time.Now().UTC()
			}
		}
		v.Health = Health{}
	})
	e.watchShim(c, conn, nil)
	return true
}

// missedEnd says how a container ended while no agent looked.
func (e *Engine) missedEnd(c *container, r record) (shim.Exit, string) {
	var exit shim.Exit
	err := readJSON(filepath.Join(e.stateDir(c.id), shim.ExitName), &exit)
	if err == nil && exit.Pid == r.Pid {
		return exit, ""
	}
	if r.BootID == e.bootID {
		if p, err := openProcess(r.Pid); err == nil {
			if p.start == r.PidStart {
				c.process = p
				return e.endOrphan(c)
			}
			p.close()
		}
	}
	return shim.Exit{Pid: r.Pid, Code: unknownExit, At: time.Now().UTC()}, "it ended with the host"
}

// clearFragment removes a container that was never whole.
func (e *Engine) clearFragment(ctx context.Context, id string) error {
	if err := e.clearProcess(ctx, id); err != nil {
		return err
	}
	var spec Spec
	if readJSON(filepath.Join(e.stateDir(id), specName), &spec) == nil && spec.Network != "" {
		if err := e.Networks.Detach(ctx, spec.Network, id); err != nil {
			return fmt.Errorf("leaving network %s: %w", spec.Network, err)
		}
	}
	if err := e.Images.Remove(ctx, id); err != nil {
		return fmt.Errorf("removing the writable layer: %w", err)
	}
	if err := cgroup.Remove(filepath.Join(e.CgroupParent, id)); err != nil {
		e.Log.Warn("a cgroup remains", "container", id, "error", err)
	}
	return os.RemoveAll(e.stateDir(id))
}

// clearStrays removes run folders and OCI containers without a container.
func (e *Engine) clearStrays(ctx context.Context, states map[string]string) error {
	entries, err := os.ReadDir(e.RunDir)
	if err != nil {
		return fmt.Errorf("finding run folders: %w", err)
	}
	ids := map[string]bool{}
	for _, entry := range entries {
		ids[entry.Name()] = true
	}
	for id := range states {
		ids[id] = true
	}
	var failed error
	for id := range ids {
		if _, known := e.containers[id]; !known {
			failed = errors.Join(failed, e.clearProcess(ctx, id))
		}
	}
	return failed
}
