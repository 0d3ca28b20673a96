package faults

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"dray/testenv"
)

// portTaken tells if something on a host has a TCP port: a bound socket that
// does not listen shows nowhere else than in a second bind.
func portTaken(h *testenv.Host, port int) (taken bool, err error) {
	runtime.LockOSThread() // for good unless it comes back to its own network
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return false, err
	}
	defer home.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.PID()))
	if err != nil {
		return false, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return false, err
	}
	taken, err = bind(port)
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return taken, err
	}
	runtime.UnlockOSThread()
	return taken, err
}

func bind(port int) (taken bool, err error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(s)
	err = unix.Bind(s, &unix.SockaddrInet4{Port: port})
	if errors.Is(err, unix.EADDRINUSE) {
		return true, nil
	}
	return false, err
}
