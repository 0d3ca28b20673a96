package engineapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/moby/moby/api/types"

	"dray/targets/logs"
)

// stream is a connection that was taken over from HTTP: the client's input
// comes from it, and output goes to it.
//
//	client ── POST …, Upgrade: tcp ──► server
//	       ◄─ 101 UPGRADED, then raw bytes both ways
//
// A client that has no more input closes its side for writing; output goes on
// until the server closes the connection.
type stream struct {
	conn  net.Conn
	input *bufio.Reader // what of the input came with the request, then the connection
}

// takeOver answers with the head that begins a stream, and returns it. The
// caller closes it.
func takeOver(w http.ResponseWriter, r *http.Request, tty bool) (*stream, error) {
	header := w.Header().Clone()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fault(http.StatusBadRequest, "this connection can't be taken over: %v", err)
	}
	header.Set("Content-Type", types.MediaTypeMultiplexedStream)
	if tty {
		header.Set("Content-Type", types.MediaTypeRawStream)
	}
	status := "200 OK"
	if r.Header.Get("Upgrade") != "" {
		status = "101 UPGRADED"
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "tcp")
	}
	if _, err = fmt.Fprintf(conn, "HTTP/1.1 %s\r\n", status); err == nil {
		if err = header.Write(conn); err == nil {
			_, err = io.WriteString(conn, "\r\n")
		}
	}
	if err != nil {
		_ = conn.Close() // it is broken already
		return nil, err
	}
	return &stream{conn, buffered.Reader}, nil
}

// close ends the output, and with it the connection.
func (s *stream) close() {
	if half, can := s.conn.(interface{ CloseWrite() error }); can {
		_ = half.CloseWrite() // the client may have gone
	}
	_ = s.conn.Close()
}

// outputs returns where a process's output goes: with a terminal as it is,
// otherwise in frames that say which stream it was.
func outputs(w io.Writer, tty bool) (stdout, stderr io.Writer) {
	if tty {
		return w, nil
	}
	var mu sync.Mutex
	return &frames{w: w, mu: &mu, stream: logs.Stdout}, &frames{w: w, mu: &mu, stream: logs.Stderr}
}

// frames puts a header before each piece that is written, by which a client
// tells streams apart.
type frames struct {
	w      io.Writer
	mu     *sync.Mutex // of all streams that share w
	stream logs.Stream
	buffer []byte
}

// Write writes one frame.
func (f *frames) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buffer = appendFrame(f.buffer[:0], f.stream, p)
	n, err := f.w.Write(f.buffer)
	return max(0, min(n-logs.FrameHeader, len(p))), err
}

func appendFrame(to []byte, s logs.Stream, p []byte) []byte {
	var header [logs.FrameHeader]byte
	logs.PutFrameHeader(header[:], s, len(p))
	return append(append(to, header[:]...), p...)
}
