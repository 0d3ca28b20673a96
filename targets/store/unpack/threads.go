//go:build !cgo

package unpack

import "syscall"

// onAllThreads makes a system call on each thread of the process, those to come
// included: the kernel keeps rights by thread.
func onAllThreads(call, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}
