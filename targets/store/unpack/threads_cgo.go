//go:build cgo

package unpack

import "golang.org/x/sys/unix"

// onAllThreads makes a system call on this thread alone: a program with C in it
// does not know all of its threads. drayd has none; tests with the race
// detector do.
func onAllThreads(call, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}
