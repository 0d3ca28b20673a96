package ui

import (
	"os"

	"golang.org/x/sys/windows"
)

// openTTY opens the console that this program was started at.
func openTTY() (*tty, error) {
	in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		in.Close()
		return nil, err
	}
	return newTTY(in, out), nil
}

// inForeground is true: a console lets every program of it read.
func inForeground(*os.File) bool { return true }

// echoOff has the console show nothing of what is typed. Ctrl-C still works.
func echoOff(f *os.File) error {
	var mode uint32
	if err := windows.GetConsoleMode(windows.Handle(f.Fd()), &mode); err != nil {
		return err
	}
	mode &^= windows.ENABLE_ECHO_INPUT
	mode |= windows.ENABLE_PROCESSED_INPUT | windows.ENABLE_LINE_INPUT
	return windows.SetConsoleMode(windows.Handle(f.Fd()), mode)
}
