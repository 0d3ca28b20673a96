//go:build unix

package ui

import (
	"os"

	"golang.org/x/sys/unix"
)

// openTTY opens the terminal that this program was started at.
func openTTY() (*tty, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return newTTY(f, f), nil
}

// inForeground tells whether this program may read from the terminal without
// being stopped.
func inForeground(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// echoOff has the terminal show nothing of what is typed. Ctrl-C still works.
func echoOff(f *os.File) error {
	mode, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	if err != nil {
		return err
	}
	hidden := *mode
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(int(f.Fd()), setTermios, &hidden)
}
