package store

import (
	"io"
	"sync"
)

const (
	chunkSize = 256 << 10
	pipeDepth = 8 // chunks that a pipe holds: 2 MiB; a layer that is unpacked while it arrives has two pipes
)

var chunks = sync.Pool{New: func() any { b := make([]byte, 0, chunkSize); return &b }}

// pipe carries bytes from one goroutine to another, with room between them, so
// that downloading, inflating and writing files go on at the same time.
type pipe struct {
	full chan *[]byte
	quit chan struct{} // closed by the reader
	once sync.Once
	err  error // why the writer ended; set before full is closed
	in   *[]byte
	out  *[]byte
	pos  int
}

func newPipe() *pipe {
	return &pipe{full: make(chan *[]byte, pipeDepth), quit: make(chan struct{})}
}

// Write fills chunks. It fails with io.ErrClosedPipe once the reader has left.
func (p *pipe) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 {
		if p.in == nil {
			p.in = chunks.Get().(*[]byte)
		}
		room := min(chunkSize-len(*p.in), len(b))
		*p.in = append(*p.in, b[:room]...)
		b, n = b[room:], n+room
		if len(*p.in) == chunkSize {
			if err := p.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (p *pipe) flush() error {
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

// end tells the reader that nothing more comes: io.EOF, or why.
func (p *pipe) end(err error) {
	if err == nil {
		err = io.EOF
		if p.flush() != nil {
			err = io.ErrClosedPipe
		}
	}
	p.err = err
	close(p.full)
}

// Read gives what was written, then the writer's end.
func (p *pipe) Read(b []byte) (int, error) {
	for p.out == nil || p.pos == len(*p.out) {
		p.recycle()
		next, ok := <-p.full
		if !ok {
			return 0, p.err
		}
		p.out, p.pos = next, 0
	}
	n := copy(b, (*p.out)[p.pos:])
	p.pos += n
	return n, nil
}

func (p *pipe) recycle() {
	if p.out != nil {
		*p.out = (*p.out)[:0]
		chunks.Put(p.out)
		p.out = nil
	}
}

// quitReading lets the writer go on without a reader. It may be called more
// than once.
func (p *pipe) quitReading() { p.once.Do(func() { close(p.quit) }) }
