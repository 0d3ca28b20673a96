// Package pipe carries bytes from one goroutine to another with room between
// them, so that downloading, inflating and writing files go on at the same time.
package pipe

import (
	"errors"
	"io"
	"sync"
)

// ChunkSize is what is read and written at once.
const ChunkSize = 256 << 10

const depth = 8 // chunks that a pipe holds: 2 MiB

// Chunks keeps buffers of ChunkSize bytes, of length 0, for whoever moves bytes.
var Chunks = sync.Pool{New: func() any { b := make([]byte, 0, ChunkSize); return &b }}

// Pipe has one writer and one reader.
type Pipe struct {
	full chan *[]byte
	quit chan struct{} // closed by the reader
	once sync.Once
	err  error // why the writer ended; set before full is closed
	in   *[]byte
	out  *[]byte
	pos  int
}

// New makes a pipe.
func New() *Pipe {
	return &Pipe{full: make(chan *[]byte, depth), quit: make(chan struct{})}
}

// Write fills chunks. It fails with io.ErrClosedPipe once the reader has left.
func (p *Pipe) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 {
		if p.in == nil {
			p.in = Chunks.Get().(*[]byte)
		}
		room := min(ChunkSize-len(*p.in), len(b))
		*p.in = append(*p.in, b[:room]...)
		b, n = b[room:], n+room
		if len(*p.in) == ChunkSize {
			if err := p.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (p *Pipe) flush() error {
	if p.in == nil {
		return nil
	}
	select {
	case p.full <- p.in:
		p.in = nil
		return nil
	case <-p.quit:
		return io.ErrClosedPipe
	}
}

// End tells the reader that nothing more comes: io.EOF, or why.
func (p *Pipe) End(err error) {
	if err == nil {
		err = io.EOF
		if p.flush() != nil {
			err = io.ErrClosedPipe
		}
	}
	p.err = err
	close(p.full)
}

// Read returns what was written, then the writer's end.
func (p *Pipe) Read(b []byte) (int, error) {
	if err := p.next(); err != nil {
		return 0, err
	}
	n := copy(b, (*p.out)[p.pos:])
	p.pos += n
	return n, nil
}

// WriteTo implements io.WriterTo: whole chunks travel.
func (p *Pipe) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := p.next(); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write((*p.out)[p.pos:])
		p.pos, total = p.pos+n, total+int64(n)
		if err != nil {
			return total, err
		}
	}
}

// next has out hold bytes that were not read yet.
func (p *Pipe) next() error {
	for p.out == nil || p.pos == len(*p.out) {
		p.recycle()
		next, ok := <-p.full
		if !ok {
			return p.err
		}
		p.out, p.pos = next, 0
	}
	return nil
}

func (p *Pipe) recycle() {
	if p.out != nil {
		*p.out = (*p.out)[:0]
		Chunks.Put(p.out)
		p.out = nil
	}
}

// QuitReading lets the writer go on without a reader. It may be called more
// than once.
func (p *Pipe) QuitReading() { p.once.Do(func() { close(p.quit) }) }
