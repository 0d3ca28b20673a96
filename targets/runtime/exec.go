package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ExecConfig says what is to run in a container beside its own process.
type ExecConfig struct {
	Command []string
	Env     []string // "K=V"; wins over the container's
	User    string   // "" is the container's
	WorkDir string   // "" is the container's
	TTY     bool
	Stdin   bool // input will be given
}

// Exec is a further process in a container. It ends with the container, and
// it may end with the agent; the container does not.
type Exec struct {
	ID          string
	ContainerID string
	Config      ExecConfig
	Running     bool
	Started     time.Time // zero before ExecStart
	Finished    time.Time
	Pid         int
	ExitCode    int    // 126 or 127 where the command could not be started
	Fault       string // why it could not
}

// Streams are the caller's ends of a process's standard streams; any may be
// nil. With a terminal all output goes to Stdout; without one Stdout and Stderr
// are written to at the same time, and must bear it where they are one. Stdin is read until it ends,
// which may be after the call that got it: the caller closes it then.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// An execution is an Exec and what it needs while it runs.
type execution struct {
	mu       sync.Mutex
	value    Exec
	process  process
	leader   int // pid of the process, which leads a session; it stays when the process has ended
	terminal *os.File
	size     [2]uint16 // rows and columns asked for before there was a terminal
	done     chan struct{}
}

const keepExecs = 10 * time.Minute // an ended Exec can be inspected for so long

// ExecCreate notes a process that ExecStart will start, and returns its id.
func (e *Engine) ExecCreate(idOrName string, config ExecConfig) (string, error) {
	c, err := e.find(idOrName)
	if err != nil {
		return "", err
	}
	value := c.snapshot()
	if value.State != Running {
		return "", fmt.Errorf("exec in container %s: %w: it is %s", value.Spec.Name, ErrState, value.State)
	}
	if len(config.Command) == 0 {
		return "", errors.New("exec: no command")
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	x := &execution{
		value:   Exec{ID: hex.EncodeToString(random), ContainerID: c.id, Config: config},
		process: noProcess, done: make(chan struct{}),
	}
	e.mu.Lock()
	e.dropOldExecs()
	e.execs[x.value.ID] = x
	e.mu.Unlock()
	e.tell(value, "exec_create: "+strings.Join(config.Command, " "))
	return x.value.ID, nil
}

// dropOldExecs forgets those that ended long ago. The caller holds e.mu.
func (e *Engine) dropOldExecs() {
	for id, x := range e.execs {
		x.mu.Lock()
		if !x.value.Finished.IsZero() && time.Since(x.value.Finished) > keepExecs {
			delete(e.execs, id)
		}
		x.mu.Unlock()
	}
}

// forgetExecs forgets those of a container that never ran.
func (e *Engine) forgetExecs(containerID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, x := range e.execs {
		x.mu.Lock()
		if x.value.ContainerID == containerID && x.value.Started.IsZero() {
			delete(e.execs, id)
		}
		x.mu.Unlock()
	}
}

func (e *Engine) findExec(id string) (*execution, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if x, ok := e.execs[id]; ok {
		return x, nil
	}
	return nil, fmt.Errorf("%w: exec %s", ErrNotFound, id)
}

// ExecInspect returns an Exec as it is.
func (e *Engine) ExecInspect(id string) (Exec, error) {
	x, err := e.findExec(id)
	if err != nil {
		return Exec{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.value, nil
}

// ExecStart starts the process and passes its streams on until it ends. When
// ctx ends first the caller is detached; the process goes on. A command that
// can't be started is an error, and the Exec's ExitCode says 126 or 127.
func (e *Engine) ExecStart(ctx context.Context, id string, streams Streams) error {
	done, err := e.execStart(ctx, id, streams)
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ExecDetached starts the process and leaves it alone.
func (e *Engine) ExecDetached(ctx context.Context, id string) error {
	_, err := e.execStart(ctx, id, Streams{})
	return err
}

// Exec runs a command to its end and returns its exit code. What it started ends
// with it, also when ctx ends first: a check that left a process each time would
// fill its container.
func (e *Engine) Exec(ctx context.Context, idOrName string, config ExecConfig, streams Streams) (int, error) {
	id, err := e.ExecCreate(idOrName, config)
	if err != nil {
		return 0, err
	}
	err = e.ExecStart(ctx, id, streams)
	x, found := e.findExec(id)
	if found != nil {
		return 0, errors.Join(err, found)
	}
	x.mu.Lock()
	leader := x.leader
	x.mu.Unlock()
	if ended := e.endSession(x.value.ContainerID, leader); ended != nil {
		e.Log.Warn("processes of a command are left in its container", "container", idOrName, "error", ended)
	}
	if ctx.Err() != nil {
		return 0, fmt.Errorf("exec: %w", context.Cause(ctx))
	}
	value, _ := e.ExecInspect(id)
	return value.ExitCode, err
}

// ExecResize sets the size of an Exec's terminal, which need not be there yet.
func (e *Engine) ExecResize(id string, rows, cols uint16) error {
	x, err := e.findExec(id)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.value.Config.TTY || !x.value.Finished.IsZero() {
		return fmt.Errorf("resizing exec: %w: it has no terminal", ErrState)
	}
	x.size = [2]uint16{rows, cols}
	if x.terminal == nil {
		return nil
	}
	return setSize(x.terminal, rows, cols)
}

func setSize(terminal *os.File, rows, cols uint16) error {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	return errors.Join(err, failed)
}

// execStart starts an Exec, whose end closes the channel.
func (e *Engine) execStart(ctx context.Context, id string, streams Streams) (<-chan struct{}, error) {
	x, err := e.findExec(id)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	if !x.value.Started.IsZero() {
		x.mu.Unlock()
		return nil, fmt.Errorf("starting exec: %w: it was started before", ErrState)
	}
	x.value.Started = time.Now().UTC()
	x.value.Running = true
	config := x.value.Config
	x.mu.Unlock()

	c, err := e.find(x.value.ContainerID)
	if err != nil { // it was removed meanwhile
		x.fail(err)
		return nil, err
	}
	value := c.snapshot()
	run, err := e.newExecRun(value, config)
	if err == nil {
		err = run.start(ctx, streams)
	}
	if err != nil {
		run.close()
		err = e.pidsFault(value, err)
		x.fail(err)
		return nil, fmt.Errorf("exec in container %s: %w", value.Spec.Name, err)
	}
	x.mu.Lock()
	x.process, x.leader, x.terminal = run.process, run.leader, run.terminal
	x.value.Pid = run.process.pid
	if x.terminal != nil && x.size != [2]uint16{} {
		_ = setSize(x.terminal, x.size[0], x.size[1]) // a short command may have ended
	}
	x.mu.Unlock()
	e.tell(value, "exec_start: "+strings.Join(config.Command, " "))
	e.group.spawn(func(ctx context.Context) {
		stop := context.AfterFunc(ctx, run.kill)
		defer stop()
		code := run.wait()
		x.finish(code)
		run.close()
		e.tell(c.snapshot(), "exec_die")
	})
	return x.done, nil
}

// exitOfStart is the code of a command that could not be started: 127 where
// it is not there, 126 otherwise, as shells have it.
func exitOfStart(err error) int {
	if strings.Contains(err.Error(), "not found") || strings.Contains(err.Error(), "no such file") {
		return 127
	}
	return 126
}

// fail enters that the command could not be started.
func (x *execution) fail(err error) {
	x.mu.Lock()
	x.value.Fault = err.Error()
	x.mu.Unlock()
	x.finish(exitOfStart(err))
}

func (x *execution) finish(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.value.Running, x.value.ExitCode, x.value.Finished = false, code, time.Now().UTC()
	x.value.Pid, x.terminal = 0, nil
	x.process = noProcess
	close(x.done)
}
