package store

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
)

// slowFiles is a snapshotter that takes its time to remove files.
type slowFiles struct {
	snapshots.Snapshotter
	begun, done chan struct{}
}

func (s slowFiles) Cleanup(context.Context) error {
	close(s.begun)
	<-s.done
	return nil
}

// TestGCHoldsNobodyUp: while the files of large layers are removed, containers
// start and pulls go on.
func TestGCHoldsNobodyUp(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	slow := slowFiles{s.snap, make(chan struct{}), make(chan struct{})}
	s.snap = slow
	collected := make(chan error, 1)
	go func() {
		_, err := s.GC(context.Background(), true)
		collected <- err
	}()
	select {
	case <-slow.begun:
	case err := <-collected:
		t.Fatalf("no files were removed (%v)", err)
	}
	if !s.pins.mu.TryLock() {
		t.Error("whoever needs an image waits for the removal of files")
	} else {
		s.pins.mu.Unlock()
	}
	close(slow.done)
	if err := <-collected; err != nil {
		t.Error(err)
	}
}
