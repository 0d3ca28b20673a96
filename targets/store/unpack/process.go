package unpack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Task is one layer to unpack.
type Task struct {
	Dir     string // an empty folder, or one with the files of the layers below
	Overlay bool   // removed files become overlay's whiteouts; otherwise they are removed
}

// Process is a child that unpacks a layer: write the layer to it, then Wait.
type Process struct {
	session *Session
	task    Task
	cmd     *exec.Cmd
	stop    context.CancelCauseFunc
	input   *os.File      // the parent's end; the child's is given away
	ready   chan struct{} // closed once the child reads, or never will
	running errgroup.Group
	words   lastWords
	kills   uint64 // of its group, before
	result  Result
	Share   *Share // what it took of the pull's budget
}

// Start begins to unpack a layer. Wait must follow.
func (s *Session) Start(ctx context.Context, t Task) *Process {
	ctx, stop := context.WithCancelCause(ctx)
	p := &Process{session: s, task: t, stop: stop, ready: make(chan struct{}), Share: &Share{of: &s.budget}}
	command := s.config.Command
	p.cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	p.cmd.Args[0] = "drayd" // for people who list processes
	p.cmd.Env = []string{startedBy + "=1"}
	p.cmd.Dir = "/"
	p.cmd.Stderr = &p.words
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
	}
	p.running.Go(func() error {
		defer stop(nil)
		return p.run(ctx)
	})
	return p
}

// startedBy is set in the environment of a child. A program that does not know
// what it was started for must not start children in turn.
const startedBy = "DRAY_UNPACK"

// run is the child's life.
func (p *Process) run(ctx context.Context) error {
	// The child dies with the thread that made it (PR_SET_PDEATHSIG in prctl(2)),
	// which must therefore live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	reports, err := p.start()
	if err != nil {
		close(p.ready)
		return fmt.Errorf("starting the process that unpacks it: %w", err)
	}
	defer reports.Close()
	err = p.request()
	close(p.ready)
	if err == nil {
		p.result, err = receive(reports, p.Share)
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		// It is about to end, by itself or by the kernel, and says how.
		late := time.AfterFunc(ending, func() { p.stop(err) })
		defer late.Stop()
	case err != nil:
		p.stop(err)
	}
	waitErr := p.cmd.Wait() // of an exit; the state says more
	if p.cmd.ProcessState == nil {
		return fmt.Errorf("waiting for the process that unpacks it: %w", waitErr)
	}
	return p.verdict(ctx, err, p.cmd.ProcessState)
}

// ending is how long a child may take to end that has said its last.
const ending = 10 * time.Second

// start starts the child in its control group.
func (p *Process) start() (reports *os.File, err error) {
	if os.Getenv(startedBy) != "" {
		return nil, errors.New("this program was started to unpack a layer, and does not know how")
	}
	var out *os.File
	if p.cmd.Stdin, p.input, err = filePipe(); err != nil {
		return nil, err
	}
	defer p.cmd.Stdin.(*os.File).Close()
	// A wide pipe lets the download go on while the child makes files. Where it
	// can't be widened it is slower.
	_, _ = unix.FcntlInt(p.input.Fd(), unix.F_SETPIPE_SZ, 1<<20)
	if reports, out, err = os.Pipe(); err != nil {
		return nil, errors.Join(err, p.input.Close())
	}
	defer out.Close()
	p.cmd.Stdout = out
	g := p.session.memoryGroup(p.task.Dir)
	if g != nil {
		p.kills = g.kills()
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, p.input.Close(), reports.Close())
	}
	if g != nil {
		if err := g.add(p.cmd.Process.Pid); err != nil {
			p.session.config.Log.Debug("a layer is unpacked outside its control group", "error", err)
		}
	}
	return reports, nil
}

// filePipe is os.Pipe, for a field that takes any reader.
func filePipe() (io.Reader, *os.File, error) {
	r, w, err := os.Pipe()
	return r, w, err
}

// request tells the child what to do.
func (p *Process) request() error {
	c := p.session.config
	b, err := json.Marshal(request{
		Dir: p.task.Dir, Overlay: p.task.Overlay, MaxLayer: c.MaxLayer,
		Budget: p.session.budget.remaining(), Memory: c.Memory / 4 * 3, // the rest is for the kernel's
	})
	if err != nil {
		return err
	}
	_, err = p.input.Write(append(b, '\n'))
	return err
}

// Write sends bytes of the layer. It fails once the child has ended: Wait says why.
func (p *Process) Write(b []byte) (int, error) {
	<-p.ready
	if p.input == nil {
		return 0, io.ErrClosedPipe
	}
	return p.input.Write(b)
}

// Wait says that the layer is complete and returns what it was. The error
// matches ErrTooLarge, ErrNoRoom, ErrMemory or the kernel's, such as ENOSPC,
// where one of them was the cause.
func (p *Process) Wait() (Result, error) {
	<-p.ready
	if p.input != nil {
		_ = p.input.Close() // what was lost by it shows in the tar's digest
	}
	err := p.running.Wait()
	return p.result, err
}

// Abort ends the child; Wait must follow still.
func (p *Process) Abort(cause error) { p.stop(cause) }

// verdict says how the child ended, from its last report and its exit.
func (p *Process) verdict(ctx context.Context, reported error, exit *os.ProcessState) error {
	var last *fault
	switch {
	case reported == nil:
		return nil // all was written before that report
	case errors.As(reported, &last):
		return reported
	case !errors.Is(reported, io.ErrUnexpectedEOF) && !errors.Is(reported, syscall.EPIPE):
		return reported
	case p.outOfMemory(exit):
		return ErrMemory
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, reported) {
		return cause
	}
	if exit.Success() {
		return errors.New("the process that unpacks it ended without an answer")
	}
	return fmt.Errorf("the process that unpacks it ended (%s)%s", exit, p.words.text())
}

// outOfMemory says whether it was its memory that ended a child: at the limit
// of its group the kernel kills it; at its own limit the Go runtime gives up.
func (p *Process) outOfMemory(exit *os.ProcessState) bool {
	if exit.Success() {
		return false
	}
	if g := p.session.group; g != nil && g.kills() > p.kills {
		return true
	}
	words := p.words.String()
	return slices.ContainsFunc(denied, func(said string) bool { return strings.Contains(words, said) })
}

// denied is what runtimes say that are refused memory: Go's, and the race
// detector's.
var denied = []string{"out of memory", "cannot allocate memory", "failed to allocate"}

// lastWords keeps the beginning of what a child says before it ends: the first
// line has the reason.
type lastWords struct{ strings.Builder }

func (w *lastWords) Write(b []byte) (int, error) {
	if room := 2048 - w.Len(); room > 0 {
		w.Builder.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (w *lastWords) text() string {
	line, _, _ := strings.Cut(strings.TrimSpace(w.String()), "\n")
	if line == "" {
		return ""
	}
	return ": " + line
}
