package testenv

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// MirrorProcess is a mirror of base images (testenv/mirror) that runs as a
// process of its own, for a lab that outlives its maker.
type MirrorProcess struct {
	Addr    string // host:port on the loopback
	Process process
}

// StartMirror runs argv, which must serve a mirror and print its address as
// its first line, as the lab's mirror; if the lab has one that runs, that one
// stays. It ends with the lab.
func (l *Lab) StartMirror(ctx context.Context, argv ...string) (addr string, err error) {
	if m := l.state.Mirror; m != nil && m.Process.alive() {
		return m.Addr, nil
	}
	log, err := os.OpenFile(filepath.Join(l.Dir, "mirror.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = w, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return "", fmt.Errorf("starting the mirror: %w", err)
	}
	// The process stays when this one ends; Close finds it by its state.
	addr, err = bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("starting the mirror: it ended before it served; see %s: %w", log.Name(), err)
	}
	p, err := processOf(cmd.Process.Pid)
	if err != nil {
		return "", fmt.Errorf("starting the mirror: %w", err)
	}
	m := &MirrorProcess{Addr: strings.TrimSpace(addr), Process: p}
	return m.Addr, l.record(func() { l.state.Mirror = m })
}

// Mirror is the address of the lab's mirror, if it runs.
func (l *Lab) Mirror() string {
	if m := l.state.Mirror; m != nil && m.Process.alive() {
		return m.Addr
	}
	return ""
}

func (l *Lab) stopMirror(ctx context.Context) error {
	if l.state.Mirror == nil {
		return nil
	}
	return l.state.Mirror.Process.kill(ctx)
}
