package durable_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"dray/pipeline/durable"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	for _, x := range []struct {
		content string
		mode    os.FileMode
	}{{"old, and longer", 0o600}, {"new", 0o644}, {"", 0o666}} {
		if err := durable.Write(path, []byte(x.content), x.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(got) != x.content {
			t.Fatalf("got %q (%v, %v), want %q", got, err, statErr, x.content)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != x.mode {
			t.Errorf("mode %v, want %v", info.Mode().Perm(), x.mode)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestReadersSeeOneContent reads while others write.
func TestReadersSeeOneContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 100)}
	if err := durable.Write(path, contents[0], 0o600); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	done := make(chan struct{})
	for _, content := range contents {
		writers.Go(func() {
			for range 20 {
				if err := durable.Write(path, content, 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { writers.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
			t.Fatalf("a reader saw %d bytes (%v)", len(got), err)
		}
	}
}

// TestFailedWriteLeavesTheOldOne: a folder in the way can't be replaced.
func TestFailedWriteLeavesTheOldOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Write(path, []byte("new"), 0o600); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || !left[0].IsDir() {
		t.Errorf("left are %v (%v)", left, err)
	}
	if err := durable.Write(filepath.Join(dir, "no", "folder"), nil, 0o600); err == nil {
		t.Error("a missing folder is no error")
	}
}
