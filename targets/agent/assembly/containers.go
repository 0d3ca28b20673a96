package assembly

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dray/targets/agent"
	"dray/targets/api"
	"dray/targets/logs"
	"dray/targets/network"
	"dray/targets/runtime"
)

// containers is the engine as the agent needs it.
type containers struct {
	*runtime.Engine
	networks *network.Networks
}

var _ agent.Containers = containers{}

// Stop implements agent.Containers. What the kernel tracks of the container's
// connections goes with it.
func (c containers) Stop(ctx context.Context, id string) error {
	stopped, err := c.Get(id)
	if err == nil {
		err = c.Engine.Stop(ctx, id, nil)
	}
	if err == nil && stopped.Address.IsValid() {
		err = c.networks.Forget(context.WithoutCancel(ctx), stopped.Address)
	}
	return unlessGone(err)
}

// Wait implements agent.Containers.
func (c containers) Wait(ctx context.Context, id string) (runtime.Container, error) {
	return c.Engine.Wait(ctx, id, runtime.WaitNotRunning, nil)
}

// WaitEnd implements agent.Containers.
func (c containers) WaitEnd(ctx context.Context, id string, ready func()) (runtime.Container, error) {
	return c.Engine.Wait(ctx, id, runtime.WaitNextExit, ready)
}

// Remove implements agent.Containers.
func (c containers) Remove(ctx context.Context, id string) error {
	return unlessGone(c.Engine.Remove(ctx, id, true))
}

func unlessGone(err error) error {
	if errors.Is(err, runtime.ErrNotFound) {
		return nil
	}
	return err
}

// Watch implements agent.Containers.
func (c containers) Watch(changed func(runtime.Change)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	changes := c.Subscribe(ctx)
	done := make(chan struct{})
	go func() { // ended by stop, which waits for it
		defer close(done)
		for change := range changes {
			changed(change)
		}
	}()
	return func() { cancel(); <-done }
}

// output is what containers wrote.
type output struct {
	root   string // containers/, with a folder for each
	engine *runtime.Engine
}

var _ agent.Logs = output{}

func (o output) dir(id string) string { return filepath.Join(o.root, id, "logs") }

// Last implements agent.Logs.
func (o output) Last(id string, n int) []string {
	var lines []string
	err := logs.Read(context.Background(), o.dir(id), logs.Query{Tail: n}, func(r logs.Record) error {
		lines = append(lines, string(r.Text))
		return nil
	})
	if err != nil {
		return append(lines, fmt.Sprintf("(the log can't be read: %v)", err))
	}
	return lines
}

// Follow implements agent.Logs.
func (o output) Follow(ctx context.Context, id string, line func(stream, text string)) error {
	ended := make(chan struct{})
	wait, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ended by stop, below
		defer close(done)
		if _, err := o.engine.Wait(wait, id, runtime.WaitNotRunning, nil); err == nil || wait.Err() == nil {
			close(ended)
		}
	}()
	defer func() { stop(); <-done }()
	return logs.Read(ctx, o.dir(id), logs.Query{Follow: true, Ended: ended}, func(r logs.Record) error {
		line(r.Stream.String(), string(r.Text))
		return nil
	})
}

// Keep implements agent.Logs: the files are linked, or copied where that can't
// be done.
func (o output) Keep(id, folder string) error {
	entries, err := os.ReadDir(o.dir(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), logs.FileName) {
			continue
		}
		err = errors.Join(err, keepFile(filepath.Join(o.dir(id), entry.Name()), filepath.Join(folder, entry.Name())))
	}
	return err
}

// Read implements agent.Logs.
func (o output) Read(ctx context.Context, id string, q api.LogQuery, line func(at time.Time, stream, text string)) error {
	return o.engine.Logs(ctx, id, logQuery(q), each(line))
}

// ReadKept implements agent.Logs. Nothing is added to what is kept.
func (o output) ReadKept(ctx context.Context, folder string, q api.LogQuery, line func(at time.Time, stream, text string)) error {
	q.Follow = false
	return logs.Read(ctx, folder, logQuery(q), each(line))
}

func logQuery(q api.LogQuery) logs.Query {
	return logs.Query{Tail: max(q.Tail, logs.NoHistory), Since: q.Since, Until: q.Until, Follow: q.Follow}
}

func each(line func(at time.Time, stream, text string)) func(logs.Record) error {
	return func(r logs.Record) error {
		line(r.Time, r.Stream.String(), string(r.Text))
		return nil
	}
}

func keepFile(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // only read
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
