package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// TestRestGivesMemoryBack holds much memory for a while, as a pull does.
func TestRestGivesMemoryBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- rest(ctx, 10*time.Millisecond) }()
	var before, after runtime.MemStats
	var held [][]byte
	for range 64 {
		held = append(held, make([]byte, 1<<20))
		time.Sleep(time.Millisecond)
	}
	runtime.ReadMemStats(&before)
	runtime.KeepAlive(held)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		runtime.ReadMemStats(&after)
		if after.HeapSys-after.HeapReleased+32<<20 < before.HeapSys-before.HeapReleased {
			break
		}
	}
	if kept := after.HeapSys - after.HeapReleased; kept+32<<20 >= before.HeapSys-before.HeapReleased {
		t.Errorf("%d bytes of the heap are kept, of %d", kept, before.HeapSys-before.HeapReleased)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
