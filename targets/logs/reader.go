package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// NoHistory as a Query's Tail skips everything that was printed before.
const NoHistory = -1

// A Query says which records are wanted.
type Query struct {
	Tail   int       // at most so many lines, the newest; 0: all; NoHistory: none
	Since  time.Time // zero: from the beginning
	Until  time.Time // zero: without end
	Stream Stream    // 0: both
	Follow bool      // go on with what is printed from now on

	// Ended, when closed, ends a Query that follows, once everything that was
	// written before is read: the container has ended. nil never ends.
	Ended <-chan struct{}
}

func (q Query) wants(r Record) bool {
	return (q.Stream == 0 || q.Stream == r.Stream) &&
		(q.Since.IsZero() || !r.Time.Before(q.Since)) &&
		(q.Until.IsZero() || !r.Time.After(q.Until))
}

// Read calls each for every record of the log in dir that q wants, oldest
// first. A record's Text is valid during the call. An error of each ends it
// and is returned; a log that does not exist yet is empty. A Query that
// follows ends with ctx, whose error it then returns.
func Read(ctx context.Context, dir string, q Query, each func(Record) error) error {
	if q.Follow {
		return follow(ctx, dir, q, each)
	}
	files, err := openAll(dir)
	if err != nil {
		return err
	}
	defer closeAll(files)
	return readHistory(ctx, files, q, each)
}

// openAll opens the files of a log, oldest first. A rotation meanwhile only
// moves files to higher numbers, so going up through them misses none; one
// that is met twice is taken once.
func openAll(dir string) ([]*file, error) {
	var files []*file
	for number, gaps := 0, 0; ; number++ {
		f, err := openFile(filePath(dir, number))
		if errors.Is(err, os.ErrNotExist) {
			if gaps++; gaps == 2 { // one can be a rotation under way
				return files, nil
			}
			continue
		}
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("opening the log: %w", err)
		}
		if len(files) > 0 && files[0].same(f) {
			_ = f.Close() // read-only
			continue
		}
		files = append([]*file{f}, files...)
	}
}

func closeAll(files []*file) {
	for _, f := range files {
		_ = f.Close() // read-only
	}
}

// readHistory reads what is in files now.
func readHistory(ctx context.Context, files []*file, q Query, each func(Record) error) error {
	if err := seekTail(files, q); err != nil {
		return err
	}
	for _, f := range files {
		if !q.Since.IsZero() && f.info.ModTime().Before(q.Since) && f != files[len(files)-1] {
			continue
		}
		if err := f.read(ctx, q, each); err != nil {
			return err
		}
	}
	return nil
}

// seekTail moves the files forward so that only the last q.Tail lines remain.
func seekTail(files []*file, q Query) error {
	missing := q.Tail
	for i := len(files) - 1; i >= 0 && q.Tail != 0; i-- {
		if missing <= 0 {
			if err := files[i].skipAll(); err != nil {
				return err
			}
			continue
		}
		found, err := files[i].seekLast(missing, q)
		if err != nil {
			return err
		}
		missing -= found
	}
	return nil
}

// A file is one file of a log, read line by line. What follows the last line
// feed stays unread until its line is whole.
type file struct {
	*os.File
	info    os.FileInfo
	buffer  []byte // read and not yet given out
	start   int
	discard bool // within a line that is too long to be a record
}

func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{File: f, info: info}, nil
}

func (f *file) same(other *file) bool { return os.SameFile(f.info, other.info) }

// read gives the records up to the end of the file to each.
func (f *file) read(ctx context.Context, q Query, each func(Record) error) error {
	for {
		line, err := f.line()
		if err != nil || line == nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := parseRecord(line)
		if err != nil || !q.wants(r) {
			continue // torn by a crash, or not asked for
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// line returns the next whole line without its end, or nil where there is
// none yet.
func (f *file) line() ([]byte, error) {
	for {
		if end := bytes.IndexByte(f.buffer[f.start:], '\n'); end >= 0 {
			line := f.buffer[f.start : f.start+end]
			f.start += end + 1
			if f.discard {
				f.discard = false
				continue
			}
			return line, nil
		}
		if len(f.buffer)-f.start > maxRecord {
			f.discard = true
			f.start = len(f.buffer)
		}
		n, err := f.fill()
		if err != nil {
			return nil, fmt.Errorf("reading the log: %w", err)
		}
		if n == 0 {
			return nil, nil
		}
	}
}

// fill reads more into the buffer; 0 at the end of the file.
func (f *file) fill() (int, error) {
	kept := copy(f.buffer, f.buffer[f.start:])
	f.buffer, f.start = f.buffer[:kept], 0
	if cap(f.buffer)-kept < maxRecord {
		f.buffer = append(make([]byte, 0, 4*maxRecord), f.buffer...)
	}
	n, err := f.File.Read(f.buffer[kept:cap(f.buffer)])
	f.buffer = f.buffer[:kept+n]
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *file) skipAll() error {
	_, err := f.Seek(0, io.SeekEnd)
	return err
}

// seekLast moves to where the last n wanted lines begin, or to the beginning
// where there are fewer, and returns how many there are. It looks at growing
// pieces of the end, so that a short tail of a long log costs little.
func (f *file) seekLast(n int, q Query) (int, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	for piece := int64(64 << 10); ; piece *= 4 {
		from := max(0, size-piece)
		tail := make([]byte, size-from)
		if _, err := f.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("reading the log: %w", err)
		}
		skipped := 0
		if from > 0 { // begin with a whole line
			skipped = bytes.IndexByte(tail, '\n') + 1
		}
		at, found := lastLines(tail[skipped:], n, q)
		if found < n && from > 0 {
			continue
		}
		_, err := f.Seek(from+int64(skipped+at), io.SeekStart)
		return found, err
	}
}

// lastLines returns where in data the last n wanted lines begin, and how many
// there are. The parts of a long line count as one.
func lastLines(data []byte, n int, q Query) (at, found int) {
	end := bytes.LastIndexByte(data, '\n')
	at = len(data)
	for end >= 0 {
		start := bytes.LastIndexByte(data[:end], '\n') + 1
		r, err := parseRecord(data[start:end])
		if err == nil && q.wants(r) {
			if !r.Partial || found == 0 {
				if found == n {
					return at, found
				}
				found++
			}
			at = start
		}
		end = start - 1
	}
	return at, found
}
