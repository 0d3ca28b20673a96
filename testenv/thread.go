package testenv

import (
	"runtime"
	"sync"
)

// lasting is work for the one thread that lives as long as this process. What
// that thread starts with a parent-death signal dies with the process, and
// not before: the kernel counts the death of the thread (prctl(2)), and Go
// ends a thread whenever a goroutine that is locked to it returns.
var lasting = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() { // never ends, which is its purpose
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

func onLastingThread(do func() error) error {
	done := make(chan error)
	lasting() <- func() { done <- do() }
	return <-done
}
