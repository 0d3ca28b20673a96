package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"dray/targets/runtime/shim"
)

const (
	unknownExit = 255              // of a container that the host's end took with it
	brokenEvery = 30 * time.Second // how often what is Broken is tried again
)

// Recover finds the containers that an earlier agent left: it takes up those
// whose shims live, enters the ends of those that ended meanwhile, and clears
// away what was never whole. It is called once, before anything else. What is
// Wanted and does not run is the caller's to start again.
//
// One container never keeps the others from being found: what can't be read, or
// can't be cleared away, is Broken, and tried again by Run.
func (e *Engine) Recover(ctx context.Context) error {
	entries, err := os.ReadDir(e.Root)
	if err != nil {
		return fmt.Errorf("finding containers: %w", err)
	}
	states, err := e.ociStates(ctx)
	if err != nil {
		e.Log.Error("what the OCI runtime has left is not cleared away", "error", err)
	}
	for _, entry := range entries {
		if id := entry.Name(); entry.IsDir() && idForm.MatchString(id) {
			e.recoverOne(ctx, id, states[id])
		}
	}
	if err := e.clearStrays(ctx, states); err != nil {
		e.Log.Error("clearing away what no container has", "error", err)
	}
	return nil
}

// idForm is the form of a container's id. A folder of another name is none of
// the engine's, such as lost+found where the folder is a file system.
var idForm = regexp.MustCompile("^[0-9a-f]{64}$")

// recoverOne takes up a container, or marks it Broken. One that is Broken
// already is tried again.
func (e *Engine) recoverOne(ctx context.Context, id, ociState string) {
	e.mu.Lock()
	c := e.containers[id]
	if c == nil {
		c = newContainer(Container{ID: id, State: Broken, Spec: Spec{Name: id[:12]}})
		e.containers[id] = c
	}
	e.mu.Unlock()
	if c.acquire(ctx) != nil {
		return // it was removed meanwhile
	}
	defer c.release()
	if c.snapshot().State != Broken {
		return
	}
	err := e.recoverLocked(ctx, c, ociState)
	if err == nil || c.snapshot().State != Broken {
		if err != nil {
			e.Log.Error("a container's earlier process can't be cleared away", "container", id, "error", err)
		}
		return
	}
	e.quarantine(c, err)
}

// quarantine marks a container Broken, with as much of it as can be read.
func (e *Engine) quarantine(c *container, why error) {
	if c.snapshot().Error != why.Error() {
		e.Log.Error("a container is broken; it is left as it is and tried again", "container", c.id, "error", why)
	}
	var spec Spec
	readable := readJSON(filepath.Join(e.stateDir(c.id), specName), &spec) == nil && spec.Name != ""
	c.set(func(v *Container) {
		v.Error = why.Error()
		if readable {
			v.Spec = spec
		}
	})
	e.keepName(c)
}

// keepName has a container found by its name, unless another one has it.
func (e *Engine) keepName(c *container) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if name := c.snapshot().Spec.Name; e.names[name] == "" {
		e.names[name] = c.id
	}
}

// recoverLocked takes up a container that the caller holds. Only a state file
// that does not exist says that the container was never whole: what can't be
// read is not an absence.
func (e *Engine) recoverLocked(ctx context.Context, c *container, ociState string) error {
	var r record
	err := readJSON(filepath.Join(e.stateDir(c.id), stateName), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return e.clearFragment(ctx, c)
	}
	if err == nil {
		err = readJSON(filepath.Join(e.stateDir(c.id), specName), &r.Spec)
	}
	if err != nil {
		return fmt.Errorf("reading its state: %w", err)
	}
	if r.ID != c.id {
		return fmt.Errorf("reading its state: it is that of container %q", r.ID)
	}
	c.set(func(v *Container) { *v = r.Container })
	e.keepName(c)
	if r.live() && r.BootID == e.bootID {
		if t := e.toolOf(c.id); !e.own(t) {
			ociState = e.ociState(ctx, t, c.id)
		}
		if e.takeUp(c, r, ociState) {
			e.reserveLabel(c.id)
			return nil
		}
	}
	if !r.live() {
		return e.clearProcess(ctx, c.id) // of a start that was cut off
	}
	exit, reason := e.missedEnd(c, r)
	e.ended(ctx, c, exit, reason)
	return nil
}

// retryBroken tries from time to time to take up what is Broken.
func (e *Engine) retryBroken(ctx context.Context) {
	tick := time.NewTicker(brokenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			e.recoverBroken(ctx)
		}
	}
}

// recoverBroken tries all that is Broken once. One that has ended meanwhile is
// told as a death, so that its policy decides.
func (e *Engine) recoverBroken(ctx context.Context) {
	broken := slices.DeleteFunc(e.List(), func(c Container) bool { return c.State != Broken })
	if len(broken) == 0 {
		return
	}
	states, err := e.ociStates(ctx)
	if err != nil {
		e.Log.Error("broken containers are tried again later", "error", err)
		return
	}
	for _, c := range broken {
		e.recoverOne(ctx, c.ID, states[c.ID])
		if now, err := e.Get(c.ID); err == nil && now.State != Broken {
			e.Log.Info("a container that was broken is taken up again", "container", now.Spec.Name)
			e.tell(now, map[bool]string{true: "start", false: "die"}[now.running()])
		}
	}
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
	e.watchShim(c, watched{conn: conn, pid: r.Pid})
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
func (e *Engine) clearFragment(ctx context.Context, c *container) error {
	var spec Spec
	err := readJSON(filepath.Join(e.stateDir(c.id), specName), &spec)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading what it was to be: %w", err)
	}
	c.set(func(v *Container) { v.Spec = spec })
	return e.discard(ctx, c)
}

// clearStrays removes run folders and OCI containers without a container.
func (e *Engine) clearStrays(ctx context.Context, states map[string]string) error {
	entries, err := os.ReadDir(e.RunDir)
	if err != nil {
		return fmt.Errorf("finding run folders: %w", err)
	}
	ids := map[string]bool{}
	for _, entry := range entries {
		if idForm.MatchString(entry.Name()) {
			ids[entry.Name()] = true
		}
	}
	for id := range states {
		ids[id] = true
	}
	var failed error
	for id := range ids {
		if _, err := e.Get(id); err != nil {
			failed = errors.Join(failed, e.clearProcess(ctx, id))
		}
	}
	return failed
}
