//go:build linux && cgo

package main

import (
	"testing"
	"time"

	"github.com/containerd/console"
	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"
)

// A program may write as soon as it has its terminal: that must be set right
// by then, not when the runtime has learnt that the start went well.
func TestTerminalIsSetRightWhenItArrives(t *testing.T) {
	var process libcontainer.Process
	s := &stdio{}
	if err := s.openTerminal(&process); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	terminal, _, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	changesLines := func() bool {
		modes, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return modes.Oflag&unix.ONLCR != 0
	}
	if !changesLines() {
		t.Fatal("a new terminal leaves line ends alone: nothing is tested")
	}
	if err := unix.Sendmsg(int(process.ConsoleSocket.Fd()), []byte("terminal"), unix.UnixRights(int(terminal.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	select {
	case came := <-s.arrived:
		if came.err != nil {
			t.Fatal(came.err)
		}
		defer came.terminal.Close()
	case <-time.After(10 * time.Second):
		t.Fatal("the terminal is not received before the start is over")
	}
	if changesLines() {
		t.Error("line ends are changed")
	}
}
