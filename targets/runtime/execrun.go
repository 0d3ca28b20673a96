package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"dray/targets/runtime/shim"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// An execRun is one run of "dray-oci exec", which waits for the process and
// ends with its exit code.
type execRun struct {
	engine   *Engine
	id       string // the container's
	dir      string // of its own, for the process's file, pid and console
	spec     specs.Process
	cmd      *exec.Cmd
	console  *net.UnixListener
	terminal *os.File
	process  process
	leader   int // its pid
	ours     []io.Closer
	flows    []func() // copy the output
	copies   sync.WaitGroup
}

// newExecRun makes the process's specification: the container's own, with
// what config changes.
func (e *Engine) newExecRun(value Container, config ExecConfig) (*execRun, error) {
	r := &execRun{engine: e, id: value.ID, process: noProcess}
	var spec specs.Spec
	if err := readJSON(filepath.Join(e.runDir(value.ID), "config.json"), &spec); err != nil {
		return r, fmt.Errorf("%w: %w", ErrState, err)
	}
	p := spec.Process
	p.Args, p.Terminal = config.Command, config.TTY
	p.Env = mergeEnv(p.Env, config.Env)
	if config.TTY {
		p.Env = mergeEnv([]string{"TERM=xterm"}, p.Env)
	}
	p.Cwd = firstOf(config.WorkDir, p.Cwd)
	if config.User != "" {
		user, err := userOf(e.rootfs(value.ID), config.User)
		if err != nil {
			return r, err
		}
		p.User = user
		p.Env = mergeEnv(p.Env, []string{"HOME"}) // the user's own, which the runtime finds
	}
	r.spec = *p
	var err error
	r.dir, err = os.MkdirTemp(e.runDir(value.ID), "exec-")
	return r, err
}

// start starts the process. A failure of the runtime itself is told by its
// log; the command's own output never goes there.
func (r *execRun) start(ctx context.Context, streams Streams) error {
	if err := writePrivate(filepath.Join(r.dir, "process.json"), r.spec); err != nil {
		return err
	}
	t := r.engine.toolOf(r.id)
	r.cmd = exec.Command(t.path, "--root", t.root, "--log", filepath.Join(r.dir, "log"),
		"--log-format", "json", "exec", "--process", filepath.Join(r.dir, "process.json"),
		"--pid-file", filepath.Join(r.dir, "pid"))
	r.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	given, err := r.connect(streams)
	if err == nil {
		r.cmd.Args = append(r.cmd.Args, r.id)
		err = r.cmd.Start()
	}
	for _, f := range given {
		_ = f.Close() // the process has its own
	}
	if err != nil {
		return err
	}
	if err := r.awaitStart(ctx, streams); err != nil {
		return err // what the runtime wrote to the command's stderr says the same
	}
	for _, flow := range r.flows {
		r.copies.Go(flow)
	}
	return nil
}

// connect makes pipes, or a socket for the terminal, and returns the ends that
// the process gets.
func (r *execRun) connect(streams Streams) (given []*os.File, err error) {
	if r.spec.Terminal {
		dir, err := os.Open(r.dir) // a socket's address holds only 107 bytes
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		short := fmt.Sprintf("/proc/self/fd/%d/c", dir.Fd())
		r.console, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		if err != nil {
			return nil, err
		}
		r.console.SetUnlinkOnClose(false)
		r.cmd.Args = append(r.cmd.Args, "--console-socket", filepath.Join(r.dir, "c"))
		return nil, nil
	}
	if streams.Stdin != nil {
		in, ours, err := os.Pipe()
		if err != nil {
			return given, err
		}
		r.cmd.Stdin, given = in, append(given, in)
		r.feed(ours, streams.Stdin)
	}
	for _, out := range []struct {
		to     io.Writer
		stream *io.Writer
	}{{streams.Stdout, &r.cmd.Stdout}, {streams.Stderr, &r.cmd.Stderr}} {
		if out.to == nil {
			continue
		}
		ours, theirs, err := os.Pipe()
		if err != nil {
			return given, err
		}
		*out.stream, given = theirs, append(given, theirs)
		r.ours = append(r.ours, ours)
		r.flows = append(r.flows, func() { _, _ = io.Copy(out.to, ours) }) // a client that left takes no more
	}
	return given, nil
}

// feed copies input. It ends when the input does, or with the write after the
// process's end; what it waits for belongs to the caller.
func (r *execRun) feed(to io.WriteCloser, from io.Reader) {
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
}

// awaitStart waits until the process exists: its pid is written. The runtime
// ends first when it can't be made.
func (r *execRun) awaitStart(ctx context.Context, streams Streams) error {
	if r.console != nil {
		if err := r.awaitTerminal(ctx, streams); err != nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			return errors.Join(err, r.failureOf())
		}
	}
	return r.awaitPid(ctx)
}

// awaitPid reads the pid once the runtime has written it.
func (r *execRun) awaitPid(ctx context.Context) error {
	pidfd, err := unix.PidfdOpen(r.cmd.Process.Pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		data, err := os.ReadFile(filepath.Join(r.dir, "pid"))
		if err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
			if err != nil {
				return err
			}
			r.leader = pid
			r.process, _ = openProcess(pid) // a short command may have ended
			return nil
		}
		if ctx.Err() != nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			return context.Cause(ctx)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
		if err == nil && n == 1 {
			if failed := r.failureOf(); failed != nil {
				_ = r.cmd.Wait()
				return failed
			}
			if _, err := os.Stat(filepath.Join(r.dir, "pid")); err != nil {
				_ = r.cmd.Wait()
				return errors.New("the OCI runtime ended without a process")
			}
		}
	}
}

// failureOf is the runtime's own error, if its log has one.
func (r *execRun) failureOf() error {
	data, err := os.ReadFile(filepath.Join(r.dir, "log"))
	if err != nil {
		return nil // no log: nothing went wrong
	}
	var message string
	for line := range strings.Lines(string(data)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			message = entry.Msg
		}
	}
	if message == "" {
		return nil
	}
	return errors.New(strings.TrimPrefix(message, "exec failed: "))
}

// awaitTerminal takes the terminal and joins it with the caller's streams.
func (r *execRun) awaitTerminal(ctx context.Context, streams Streams) error {
	stop := context.AfterFunc(ctx, func() { _ = r.console.Close() })
	defer stop()
	var err error
	r.terminal, err = shim.AcceptTerminal(r.console)
	if err != nil {
		return err
	}
	r.ours = append(r.ours, r.terminal)
	if streams.Stdin != nil {
		r.feed(nopCloser{r.terminal}, streams.Stdin)
	}
	to := streams.Stdout
	if to == nil {
		to = io.Discard
	}
	r.copies.Go(func() { _, _ = io.Copy(to, r.terminal) }) // ends with EIO
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// kill ends the process; the agent ends, and nobody would take its output.
func (r *execRun) kill() {
	_ = r.process.signal(unix.SIGKILL)
	_ = r.cmd.Process.Kill()
}

// wait waits for the end, and for the last output, and returns the exit code.
func (r *execRun) wait() int {
	err := r.cmd.Wait()
	late := time.AfterFunc(5*time.Second, func() { // something else holds the pipe
		for _, c := range r.ours {
			_ = c.Close()
		}
	})
	r.copies.Wait()
	late.Stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

func (r *execRun) close() {
	for _, c := range r.ours {
		_ = c.Close()
	}
	if r.console != nil {
		_ = r.console.Close()
	}
	r.process.close()
	if r.dir != "" {
		_ = os.RemoveAll(r.dir) // gone with the run folder otherwise
	}
}
