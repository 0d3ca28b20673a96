package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	frameHeader = 4
	longestBody = 128 << 10 // bytes of one frame that this package writes
)

var frames = sync.Pool{New: func() any { b := make([]byte, frameHeader+longestBody); return &b }}

// Stream is one framed stream: a net.Conn with CloseWrite. One goroutine may
// read while another writes.
type Stream struct {
	conn net.Conn

	reading sync.Mutex
	header  [frameHeader]byte
	got     int    // bytes of header that are there: a deadline may come in the middle
	left    uint32 // bytes of the frame at hand that are not read yet
	ended   bool   // the peer's half is over

	writing sync.Mutex
	closed  bool // this half is over
}

// NewStream frames a stream of a Mux.
func NewStream(conn net.Conn) *Stream { return &Stream{conn: conn} }

// Read returns io.EOF after the peer's CloseWrite, and io.ErrUnexpectedEOF
// when the stream was cut off.
func (s *Stream) Read(p []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if s.ended {
		return 0, io.EOF
	}
	if s.left == 0 {
		if err := s.nextFrame(); err != nil {
			return 0, err
		}
	}
	n, err := s.conn.Read(p[:min(uint64(len(p)), uint64(s.left))])
	s.left -= uint32(n)
	if n > 0 {
		return n, nil
	}
	return 0, cut(err)
}

// nextFrame reads a frame's header.
func (s *Stream) nextFrame() error {
	for s.got < frameHeader {
		n, err := s.conn.Read(s.header[s.got:])
		s.got += n
		if err != nil && s.got < frameHeader {
			return cut(err)
		}
	}
	s.got = 0
	s.left = binary.BigEndian.Uint32(s.header[:])
	if s.left == 0 {
		s.ended = true
		return io.EOF
	}
	return nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Write writes p as one frame, or several.
func (s *Stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return 0, fmt.Errorf("writing after CloseWrite: %w", os.ErrClosed)
	}
	buffer := frames.Get().(*[]byte)
	defer frames.Put(buffer)
	written := 0
	for written < len(p) {
		n := copy((*buffer)[frameHeader:], p[written:])
		if err := s.writeFrame(*buffer, n); err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// ReadFrom copies r to the stream without another buffer in between.
func (s *Stream) ReadFrom(r io.Reader) (int64, error) {
	buffer := frames.Get().(*[]byte)
	defer frames.Put(buffer)
	var total int64
	for {
		n, err := r.Read((*buffer)[frameHeader:])
		if n > 0 {
			if err := s.writeLocked(*buffer, n); err != nil {
				return total, err
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func (s *Stream) writeLocked(buffer []byte, n int) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return fmt.Errorf("writing after CloseWrite: %w", os.ErrClosed)
	}
	return s.writeFrame(buffer, n)
}

// writeFrame sends n bytes that lie behind the room for the header.
func (s *Stream) writeFrame(buffer []byte, n int) error {
	binary.BigEndian.PutUint32(buffer, uint32(n))
	_, err := s.conn.Write(buffer[:frameHeader+n])
	return err
}

// CloseWrite says that no more comes from here; reading goes on.
func (s *Stream) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	_, err := s.conn.Write(make([]byte, frameHeader))
	return err
}

// Close ends the stream in both directions. The peer sees a cut unless
// CloseWrite came before.
func (s *Stream) Close() error { return s.conn.Close() }

// LocalAddr returns the mux's.
func (s *Stream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr returns the mux's.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// SetDeadline sets both deadlines.
func (s *Stream) SetDeadline(t time.Time) error { return s.conn.SetDeadline(t) }

// SetReadDeadline sets the deadline of reads.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }
