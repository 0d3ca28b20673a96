package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sync/errgroup"

	"dray/pipeline/durable"
	"dray/targets/runtime/confine"
	"dray/targets/runtime/shim"
)

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}$`)

// Create makes a container from spec: its writable layer, its place in the
// network, and a process that waits for Start. When it fails nothing remains.
func (e *Engine) Create(ctx context.Context, spec Spec) (Container, error) {
	check, err := e.checkOf(ctx, spec)
	if err != nil {
		return Container{}, fmt.Errorf("creating container %s: %w", spec.Name, err)
	}
	spec.Check = check
	c, err := e.reserve(spec)
	if err != nil {
		return Container{}, err
	}
	defer c.release()
	err = e.build(ctx, c)
	if err != nil {
		undo := e.discard(context.WithoutCancel(ctx), c)
		return Container{}, errors.Join(fmt.Errorf("creating container %s: %w", spec.Name, err), undo)
	}
	value := c.snapshot()
	e.tell(value, "create")
	return value, nil
}

// reserve takes the name and returns the new container, held by the caller.
func (e *Engine) reserve(spec Spec) (*container, error) {
	if !nameForm.MatchString(spec.Name) {
		return nil, fmt.Errorf("%q can't be a container's name: use letters, digits, _ . and -", spec.Name)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	c := newContainer(Container{
		ID: hex.EncodeToString(random), Spec: spec, CreatedAt: time.Now().UTC(), State: Exited,
	})
	c.lock <- struct{}{}
	e.mu.Lock()
	defer e.mu.Unlock()
	if holder, taken := e.names[spec.Name]; taken {
		return nil, fmt.Errorf("%w: %s is container %s", ErrExists, spec.Name, holder[:12])
	}
	e.names[spec.Name] = c.id
	e.containers[c.id] = c
	return c, nil
}

// build does what can fail. state.json comes last: a folder without it is a
// container that was never whole, which Recover clears away.
func (e *Engine) build(ctx context.Context, c *container) error {
	if err := os.MkdirAll(e.logDir(c.id), 0o700); err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(e.stateDir(c.id), specName), c.snapshot().Spec); err != nil {
		return err
	}
	if err := e.prepare(ctx, c); err != nil {
		return err
	}
	if err := durable.SyncFolder(e.Root); err != nil {
		return err
	}
	return e.save(c)
}

// prepare makes the container's process, which then waits for Start. The
// caller holds the container, and clears away when it fails.
func (e *Engine) prepare(ctx context.Context, c *container) error {
	b := blueprint{id: c.id, spec: c.snapshot().Spec, rootfs: e.rootfs(c.id)}
	b.cgroup = filepath.Join(e.CgroupParent, c.id)
	if err := e.clearProcess(ctx, c.id); err != nil { // of an earlier life
		return err
	}
	if err := os.MkdirAll(b.rootfs, 0o700); err != nil {
		return err
	}
	var err error
	if b.confined, err = e.confinementOf(ctx, b.spec); err != nil {
		return err
	}
	if err := e.gather(ctx, &b); err != nil {
		return err
	}
	if err := e.writeBundle(&b); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(e.stateDir(c.id), shim.ExitName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := e.startShim(ctx, c); err != nil {
		return err
	}
	c.set(func(v *Container) {
		v.State, v.Pid, v.Address = Created, c.process.pid, b.endpoint.Address
		v.Error, v.OOMKilled, v.ExitCode, v.Health = "", false, 0, Health{}
		v.Started, v.Finished, v.ending = time.Time{}, time.Time{}, ""
	})
	return nil
}

// gather gets what others give: the root file system, mounted, and the place
// in the network.
func (e *Engine) gather(ctx context.Context, b *blueprint) error {
	var group errgroup.Group
	group.Go(func() error {
		var err error
		b.image, err = e.Images.Config(ctx, b.spec.Image)
		if err != nil {
			return fmt.Errorf("reading the image: %w", err)
		}
		mounts, err := e.Images.Mounts(ctx, b.id, b.spec.Image)
		if err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
		for i := range mounts {
			mounts[i].Options = confine.FormatMount(mounts[i].Options, b.confined.labels.Mount)
		}
		if err := mount.All(mounts, b.rootfs); err != nil {
			return fmt.Errorf("mounting the root file system: %w", err)
		}
		if err := makeVolumes(b.rootfs, b.image); err != nil {
			return err
		}
		b.user, err = userOf(b.rootfs, firstOf(b.spec.User, b.image.Config.User))
		return err
	})
	if b.spec.Network != "" {
		group.Go(func() error {
			var err error
			b.endpoint, err = e.Networks.Attach(ctx, NetworkRequest{Network: b.spec.Network, Container: b.id, Metadata: b.spec.Metadata})
			if err != nil {
				return fmt.Errorf("joining network %s: %w", b.spec.Network, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// writeBundle writes the files of the run folder.
func (e *Engine) writeBundle(b *blueprint) error {
	if b.spec.Init {
		if err := e.bindInit(b); err != nil {
			return err
		}
	}
	if err := b.relabel(); err != nil {
		return err
	}
	if err := e.writeFiles(b); err != nil {
		return err
	}
	if err := e.writeSecrets(b); err != nil {
		return err
	}
	t := e.toolFor(b.spec)
	b.version = t.version(e)
	spec, err := b.ociSpec()
	if err != nil {
		return err
	}
	dir := e.runDir(b.id)
	if err := writePrivate(filepath.Join(dir, "config.json"), spec); err != nil {
		return err
	}
	return writePrivate(filepath.Join(dir, shim.ConfigName), shim.Config{
		ID: b.id, StateDir: e.stateDir(b.id), LogDir: e.logDir(b.id), Limits: e.LogLimits,
		OCI: t.path, OCIRoot: t.root, TTY: b.spec.TTY, Stdin: b.spec.OpenStdin,
	})
}

// writePrivate writes a file of the run folder, which no crash outlives.
func writePrivate(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// startShim starts the shim, which makes the process, and begins to watch it.
func (e *Engine) startShim(ctx context.Context, c *container) error {
	dir := e.runDir(c.id)
	pid, cmd, err := shim.Start(ctx, e.Shim, dir)
	if err != nil {
		return commandError(err)
	}
	if c.process, err = openProcess(pid); err != nil {
		return err
	}
	conn, err := shim.Watch(dir)
	if err != nil {
		return err
	}
	e.watchShim(c, watched{conn: conn, pid: pid, cmd: cmd})
	return nil
}

// watched is one shim: the connection that ends with it, the process of the
// container that it began, and what is to be reaped; nil for one that an earlier
// agent started, which init reaps.
type watched struct {
	conn net.Conn
	pid  int
	cmd  *exec.Cmd
}

// watchShim notices the end of a container's shim.
func (e *Engine) watchShim(c *container, w watched) {
	e.group.spawn(func(ctx context.Context) {
		stop := context.AfterFunc(ctx, func() { _ = w.conn.Close() })
		defer stop()
		_, _ = w.conn.Read(make([]byte, 1)) // a byte or an error: the end
		_ = w.conn.Close()
		if ctx.Err() != nil {
			return // the agent ends, not the shim
		}
		if w.cmd != nil {
			_ = w.cmd.Wait() // its own exit code says nothing more
		}
		e.noticeEnd(context.WithoutCancel(ctx), c, w.pid)
	})
}
