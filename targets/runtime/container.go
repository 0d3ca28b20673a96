package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dray/pipeline/durable"
)

// A container is one that the engine knows. A verb that changes it holds
// lock; whoever only looks takes a snapshot.
type container struct {
	id   string
	lock chan struct{} // held by the one who puts into it

	mu      sync.Mutex
	value   Container
	exits   int // since the engine knows it
	removed bool
	changed chan struct{} // closed and replaced at each change

	// Under lock:
	process process
}

// A process is a container's pid 1, safe from its number being reused.
type process struct {
	pid   int
	start uint64 // its start time in clock ticks since boot (proc_pid_stat(5))
	pidfd int    // -1 without a process
}

var noProcess = process{pidfd: -1}

func newContainer(value Container) *container {
	return &container{
		id: value.ID, value: value, process: noProcess,
		lock: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// acquire waits for the right to change the container.
func (c *container) acquire(ctx context.Context) error {
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed {
		<-c.lock
		return fmt.Errorf("%w: %s", ErrNotFound, c.id)
	}
	return nil
}

func (c *container) release() { <-c.lock }

func (c *container) snapshot() Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// watch returns the container as it is, and what is closed when it changes.
func (c *container) watch() (value Container, exits int, removed bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.exits, c.removed, c.changed
}

// set changes the value and tells those who watch.
func (c *container) set(change func(*Container)) Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.value.State
	change(&c.value)
	if c.value.State == Exited && before != Exited {
		c.exits++
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return c.value
}

// openProcess holds on to a container's pid 1.
func openProcess(pid int) (process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return noProcess, fmt.Errorf("opening process %d: %w", pid, err)
	}
	start, err := startTime(pid)
	if err != nil {
		return noProcess, errors.Join(err, unix.Close(fd))
	}
	return process{pid: pid, start: start, pidfd: fd}, nil
}

// signal sends a signal. A process that has ended is ErrState.
func (p process) signal(s unix.Signal) error {
	if p.pidfd < 0 {
		return fmt.Errorf("%w: it is not running", ErrState)
	}
	err := unix.PidfdSendSignal(p.pidfd, s, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: its process has ended", ErrState)
	}
	return err
}

// ended waits for the process's end.
func (p process) ended(limit time.Duration) bool {
	if p.pidfd < 0 {
		return true
	}
	deadline := time.Now().Add(limit)
	for {
		left := max(0, time.Until(deadline).Milliseconds())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, int(left))
		if err == unix.EINTR {
			continue
		}
		return err == nil && n == 1
	}
}

func (p *process) close() {
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd)
	}
	*p = noProcess
}

// startTime reads field 22 of /proc/PID/stat.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The second field, in brackets, may hold anything.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const index = 22 - 3
	if len(fields) <= index {
		return 0, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	return strconv.ParseUint(fields[index], 10, 64)
}

// A record is what state.json holds: the container without its Spec, which
// never changes and has a file of its own, and what tells whether its process
// is still the same.
type record struct {
	Container
	BootID   string `json:"boot_id"`
	PidStart uint64 `json:"pid_start,omitempty"`
}

const (
	specName  = "spec.json"
	stateName = "state.json"
)

// save writes state.json.
func (e *Engine) save(c *container) error {
	r := record{Container: c.snapshot(), BootID: e.bootID, PidStart: c.process.start}
	r.Spec = Spec{}
	if err := writeDurably(filepath.Join(e.stateDir(c.id), stateName), r); err != nil {
		return fmt.Errorf("keeping the state of %s: %w", c.id[:12], err)
	}
	return nil
}

// keep writes state.json after something was done that holds whether it is
// written or not. On a full disk a container can still be stopped, which is
// often what makes room; what is lost then is seen again by Recover, apart from
// the wish that it runs or not. The next change writes it too.
func (e *Engine) keep(c *container) {
	if err := e.save(c); err != nil {
		e.Log.Warn("a container's state is not on disk", "container", c.snapshot().Spec.Name, "error", err)
	}
}

// writeDurably replaces a file with value as JSON: whole, or as it was.
func writeDurably(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return durable.Write(path, data, 0o600)
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
