package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// person is somebody at a terminal of their own, at which the real program
// runs.
type person struct {
	t        *testing.T
	terminal *os.File // the end that keys go into and the screen comes from
	cmd      *exec.Cmd
	ended    chan error
	shut     chan struct{} // closed once the whole screen was taken in

	mu     sync.Mutex
	more   *sync.Cond
	screen bytes.Buffer
	closed bool
}

// limit is when a test that waits for the screen gives up.
const limit = 30 * time.Second

// sit starts dray at a new terminal, in dir.
func sit(t *testing.T, dir string, args ...string) *person {
	t.Helper()
	path, err := exec.LookPath("dray") // the scripts' own: this test binary
	if err != nil {
		t.Fatal(err)
	}
	terminal, programs := openPTY(t)
	p := &person{t: t, terminal: terminal, ended: make(chan error, 1), shut: make(chan struct{})}
	p.more = sync.NewCond(&p.mu)
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "TERM=xterm", "CI=", "NO_COLOR=1", "HOME="+dir, "SSH_AUTH_SOCK=",
		"DRAY_DATA_DIR="+dir+"/.data", "DRAY_SSH_CONFIG="+os.DevNull)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = programs, programs, programs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	programs.Close()
	go p.watch()
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// openPTY makes a pseudo-terminal, pty(7).
func openPTY(t *testing.T) (terminal, programs *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	programs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal, programs
}

// watch takes in the screen until the program has let go of the terminal.
func (p *person) watch() {
	defer close(p.shut)
	b := make([]byte, 4096)
	for {
		n, err := p.terminal.Read(b)
		p.mu.Lock()
		p.screen.Write(b[:n])
		p.closed = err != nil
		p.more.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// sees waits until text stands on the screen.
func (p *person) sees(text string) {
	p.t.Helper()
	timer := time.AfterFunc(limit, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.closed = true
		p.more.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !strings.Contains(p.screen.String(), text) {
		if p.closed {
			p.t.Fatalf("%q is not on the screen:\n%s", text, p.screen.String())
		}
		p.more.Wait()
	}
}

// types presses keys.
func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := p.terminal.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the program's end and its exit code, and looks whether it left
// the terminal as it was: with echo, with lines, with Ctrl-C.
func (p *person) ends(code int) string {
	p.t.Helper()
	var err error
	select {
	case err = <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("it does not end:\n%s", p.shown())
	}
	select {
	case <-p.shut: // what it wrote last has come through
	case <-time.After(limit):
		p.t.Fatalf("something holds the terminal:\n%s", p.shown())
	}
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		p.t.Fatal(err)
	}
	if got != code {
		p.t.Errorf("it ended with %d, not %d:\n%s", got, code, p.shown())
	}
	p.plain()
	return p.shown()
}

// plain fails unless the terminal shows what is typed, in lines.
func (p *person) plain() {
	p.t.Helper()
	mode := p.mode()
	if want := uint32(unix.ECHO | unix.ICANON | unix.ISIG); mode.Lflag&want != want {
		p.t.Errorf("the terminal is left in mode %#x", mode.Lflag)
	}
}

func (p *person) mode() *unix.Termios {
	p.t.Helper()
	mode, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return mode
}

func (p *person) shown() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// interruptions are the ways in which somebody ends dray.
var interruptions = map[string]func(*person){
	"Ctrl-C":       func(p *person) { p.types("\x03") },
	"Ctrl-C twice": func(p *person) { p.types("\x03\x03") },
	"SIGINT":       func(p *person) { p.signal(syscall.SIGINT) },
	"SIGTERM":      func(p *person) { p.signal(syscall.SIGTERM) },
	"SIGTERM twice": func(p *person) {
		p.signal(syscall.SIGTERM)
		p.signal(syscall.SIGTERM)
	},
}

func (p *person) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}
