package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, w *Writer, s Stream, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := w.Write(Record{Time: time.Now(), Stream: s, Text: []byte(line)}); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, dir string, l Limits) *Writer {
	t.Helper()
	w, err := NewWriter(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func texts(t *testing.T, dir string, q Query) []string {
	t.Helper()
	var got []string
	err := Read(t.Context(), dir, q, func(r Record) error {
		got = append(got, string(r.Text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestQuery(t *testing.T) {
	dir := t.TempDir()
	equal(t, texts(t, dir, Query{}))
	w := open(t, dir, Limits{})
	write(t, w, Stdout, "one", "two")
	write(t, w, Stderr, "oops")
	time.Sleep(time.Millisecond) // the border needs a moment of its own
	border := time.Now()
	write(t, w, Stdout, "three", "")
	equal(t, texts(t, dir, Query{}), "one", "two", "oops", "three", "")
	equal(t, texts(t, dir, Query{Tail: 2}), "three", "")
	equal(t, texts(t, dir, Query{Tail: 9}), "one", "two", "oops", "three", "")
	equal(t, texts(t, dir, Query{Tail: NoHistory}))
	equal(t, texts(t, dir, Query{Tail: 2, Stream: Stdout}), "three", "")
	equal(t, texts(t, dir, Query{Tail: 1, Stream: Stderr}), "oops")
	equal(t, texts(t, dir, Query{Since: border}), "three", "")
	equal(t, texts(t, dir, Query{Until: border}), "one", "two", "oops")
}

func TestSplitterJoinsAndCuts(t *testing.T) {
	s := NewSplitter(Stdout)
	now := time.Now()
	if got := s.Split([]byte("hel"), now); len(got) != 0 {
		t.Fatalf("an open line was given out: %v", got)
	}
	got := s.Split([]byte("lo\nwor"), now)
	if len(got) != 1 || string(got[0].Text) != "hello" || got[0].Partial {
		t.Fatalf("got %v", got)
	}
	got = s.Split([]byte("ld"+strings.Repeat("x", maxPart)+"\n"), now)
	if len(got) != 2 || !got[0].Partial || got[1].Partial {
		t.Fatalf("a long line gave %d records", len(got))
	}
	joined := string(got[0].Text) + string(got[1].Text)
	if joined != "world"+strings.Repeat("x", maxPart) {
		t.Fatalf("a long line came back as %d bytes", len(joined))
	}
	s.Split([]byte("open"), now)
	if got := s.Rest(now); len(got) != 1 || string(got[0].Text) != "open" || !got[0].Partial {
		t.Fatalf("rest: %v", got)
	}
}

func TestTailCountsALongLineOnce(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Limits{})
	s := NewSplitter(Stdout)
	if err := w.Write(s.Split([]byte("a\n"+strings.Repeat("b", maxPart+1)+"\nc\n"), time.Now())...); err != nil {
		t.Fatal(err)
	}
	got := texts(t, dir, Query{Tail: 2})
	if len(got) != 3 || got[2] != "c" || len(got[0])+len(got[1]) != maxPart+1 {
		t.Errorf("got %d records", len(got))
	}
}

func TestRotationKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Limits{MaxSize: 400, MaxFiles: 3})
	for i := range 100 {
		write(t, w, Stdout, fmt.Sprintf("line %02d", i))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, want 3 (%v)", len(entries), err)
	}
	got := texts(t, dir, Query{})
	if len(got) < 15 || got[len(got)-1] != "line 99" {
		t.Fatalf("got %q", got)
	}
	for i, line := range got {
		if want := fmt.Sprintf("line %02d", 100-len(got)+i); line != want {
			t.Fatalf("record %d is %q, want %q", i, line, want)
		}
	}
	equal(t, texts(t, dir, Query{Tail: 12}), got[len(got)-12:]...)
}

func TestATornRecordIsSkippedAndEnded(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Limits{})
	write(t, w, Stdout, "whole")
	if _, err := w.file.WriteString("2026-11-22T14:50:57.12"); err != nil {
		t.Fatal(err)
	}
	equal(t, texts(t, dir, Query{}), "whole")
	again := open(t, dir, Limits{})
	write(t, again, Stdout, "after")
	equal(t, texts(t, dir, Query{}), "whole", "after")
}

func TestFollowThroughRotations(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Limits{MaxSize: 1000, MaxFiles: 50})
	write(t, w, Stdout, "before")
	ended := make(chan struct{})
	seen := make(chan string)
	failed := make(chan error, 1)
	go func() {
		failed <- Read(t.Context(), dir, Query{Follow: true, Ended: ended}, func(r Record) error {
			seen <- string(r.Text)
			return nil
		})
		close(seen)
	}()
	if got := <-seen; got != "before" {
		t.Fatalf("got %q", got)
	}
	const n = 300
	go func() {
		for i := range n {
			_ = w.Write(Record{Time: time.Now(), Stream: Stdout, Text: fmt.Appendf(nil, "line %d", i)})
		}
		close(ended)
	}()
	for i := range n {
		if got, want := <-seen, fmt.Sprintf("line %d", i); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if extra, more := <-seen; more {
		t.Errorf("more than was written: %q", extra)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	w := open(t, dir, Limits{})
	write(t, w, Stdout, "x")
	ctx, cancel := context.WithCancel(t.Context())
	err := Read(ctx, dir, Query{Follow: true}, func(Record) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("2026-11-22T14:50:57.123456789Z stdout F hello\n"), 1)
	f.Add([]byte("2026-11-22T14:50:57.123456789Z stderr P \n\n\x00\nx"), 0)
	f.Fuzz(func(t *testing.T, data []byte, tail int) {
		dir := t.TempDir()
		if err := os.WriteFile(filePath(dir, 0), data, 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := Read(t.Context(), dir, Query{Tail: tail}, func(r Record) error {
			n++
			if len(r.Text) > len(data) || strings.Contains(string(r.Text), "\n") {
				t.Errorf("a record that is not in the file: %q", r.Text)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(data), "\n"); n > lines {
			t.Errorf("%d records of %d lines", n, lines)
		}
	})
}

func FuzzRecordRoundTrip(f *testing.F) {
	f.Add([]byte("hello"), true)
	f.Fuzz(func(t *testing.T, text []byte, partial bool) {
		s := NewSplitter(Stderr)
		var joined []byte
		records := s.Split(append(append([]byte{}, text...), '\n'), time.Now())
		for _, r := range records {
			line := appendRecord(nil, r)
			got, err := parseRecord(line[:len(line)-1])
			if err != nil || got.Stream != Stderr || string(got.Text) != string(r.Text) || got.Partial != r.Partial {
				t.Fatalf("%q came back as %q (%v)", r.Text, got.Text, err)
			}
			joined = append(joined, got.Text...)
			if !got.Partial {
				joined = append(joined, '\n')
			}
		}
		if string(joined) != string(text)+"\n" {
			t.Fatalf("%q came back as %q", text, joined)
		}
	})
}
