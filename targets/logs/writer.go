package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Defaults of Limits.
const (
	DefaultMaxSize  = 10 << 20
	DefaultMaxFiles = 3
)

// Limits bounds what a container's log takes on disk.
type Limits struct {
	MaxSize  int64 `json:"max_size,omitempty"`  // bytes of one file before it is rotated; 0: DefaultMaxSize
	MaxFiles int   `json:"max_files,omitempty"` // files kept, the newest included; 0: DefaultMaxFiles
}

// A Writer appends to the log of one container. It is safe for concurrent
// use; there must be only one a folder.
type Writer struct {
	dir    string
	limits Limits

	mu   sync.Mutex
	file *os.File
	size int64
	out  []byte // reused between writes
}

// NewWriter opens the log in dir, which must exist, and goes on after what an
// earlier Writer left.
func NewWriter(dir string, limits Limits) (*Writer, error) {
	if limits.MaxSize <= 0 {
		limits.MaxSize = DefaultMaxSize
	}
	if limits.MaxFiles <= 0 {
		limits.MaxFiles = DefaultMaxFiles
	}
	w := &Writer{dir: dir, limits: limits}
	return w, w.open()
}

// open opens the newest file, and ends a record that was torn off at its end.
func (w *Writer) open() error {
	file, err := os.OpenFile(filepath.Join(w.dir, FileName), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("opening the log: %w", err), file.Close())
	}
	w.file, w.size = file, info.Size()
	last := make([]byte, 1)
	if w.size == 0 {
		return nil
	}
	if _, err := file.ReadAt(last, w.size-1); err == nil && last[0] == '\n' {
		return nil
	}
	n, err := file.Write([]byte{'\n'})
	w.size += int64(n)
	return err
}

// Write appends records. When the disk is full they are lost: the caller is
// told, and may go on.
func (w *Writer) Write(records ...Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = w.out[:0]
	for _, r := range records {
		w.out = appendRecord(w.out, r)
	}
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.size > 0 && w.size+int64(len(w.out)) > w.limits.MaxSize {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	n, err := w.file.Write(w.out)
	w.size += int64(n)
	if err == nil {
		return nil
	}
	if n > 0 { // cut the torn record off, so that the next begins a line
		if undo := w.file.Truncate(w.size - int64(n)); undo == nil {
			w.size -= int64(n)
		}
	}
	return fmt.Errorf("writing the log: %w", err)
}

// rotate moves each file one number up, the oldest out, and begins a new one.
func (w *Writer) rotate() error {
	err := w.file.Close()
	w.file = nil
	for i := w.limits.MaxFiles - 1; i > 0; i-- {
		moved := os.Rename(w.path(i-1), w.path(i))
		if moved != nil && !errors.Is(moved, os.ErrNotExist) {
			err = errors.Join(err, moved)
		}
	}
	if w.limits.MaxFiles == 1 {
		err = errors.Join(err, os.Remove(w.path(0)))
	}
	if err != nil {
		return fmt.Errorf("rotating the log: %w", err)
	}
	return w.open()
}

func (w *Writer) path(number int) string { return filePath(w.dir, number) }

func filePath(dir string, number int) string {
	if number == 0 {
		return filepath.Join(dir, FileName)
	}
	return filepath.Join(dir, FileName+"."+strconv.Itoa(number))
}

// Close closes the file.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// A Splitter cuts what one stream of a container prints into records. It
// holds an unfinished line back until its end, or until it is maxPart long.
type Splitter struct {
	stream  Stream
	pending []byte
	records []Record // reused between calls
}

// NewSplitter returns a Splitter for stream.
func NewSplitter(stream Stream) *Splitter { return &Splitter{stream: stream} }

// Split returns the records that data completes, all with the time at. They
// are valid until data changes or the next call.
func (s *Splitter) Split(data []byte, at time.Time) []Record {
	s.records = s.records[:0]
	rest := data
	if len(s.pending) > 0 {
		s.pending = append(s.pending, data...)
		rest = s.pending
	}
	for {
		end := bytes.IndexByte(rest[:min(len(rest), maxPart+1)], '\n')
		if end < 0 && len(rest) <= maxPart {
			break
		}
		if end >= 0 {
			s.add(rest[:end], at, false)
			rest = rest[end+1:]
		} else {
			s.add(rest[:maxPart], at, true)
			rest = rest[maxPart:]
		}
	}
	s.keep(rest)
	return s.records
}

// Rest returns the line that was left open, if any.
func (s *Splitter) Rest(at time.Time) []Record {
	s.records = s.records[:0]
	if len(s.pending) > 0 {
		s.add(s.pending, at, true)
	}
	s.keep(nil)
	return s.records
}

func (s *Splitter) add(text []byte, at time.Time, partial bool) {
	s.records = append(s.records, Record{Time: at, Stream: s.stream, Text: text, Partial: partial})
}

// keep makes rest what is pending, in memory that the returned records don't
// share.
func (s *Splitter) keep(rest []byte) {
	if len(rest) == 0 {
		s.pending = nil
		return
	}
	s.pending = append(make([]byte, 0, len(rest)+512), rest...)
}
