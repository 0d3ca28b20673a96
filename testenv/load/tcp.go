package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Hold keeps TCP connections open and exchanges something on one after the
// other. A connection that is cut counts as one failure and is not opened
// again: what is asked is if long connections survive.
type Hold struct {
	Address  string        // host:port
	Count    int           // connections; default 1
	Rate     float64       // exchanges a second, over all connections; default 10
	Duration time.Duration // at most; 0: no other bound than MaxDuration
	Timeout  time.Duration // for one exchange; default 10 s

	// Exchange says something on a connection and gives the answer's head. Nil:
	// a line is echoed. HTTPExchange asks for a page.
	Exchange func(conn net.Conn, in *bufio.Reader) (answer string, err error)

	held []*held
}

type held struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
	cut  bool
}

func (h *Hold) prepare() (pace, error) {
	if err := own(h.Address); err != nil {
		return pace{}, err
	}
	h.Count = max(h.Count, 1)
	if h.Rate == 0 {
		h.Rate = 10
	}
	if h.Timeout == 0 {
		h.Timeout = 10 * time.Second
	}
	if h.Exchange == nil {
		h.Exchange = echoLine
	}
	for range h.Count {
		conn, err := net.DialTimeout("tcp", h.Address, h.Timeout)
		if err != nil {
			h.finish()
			return pace{}, fmt.Errorf("opening a connection to hold: %w", err)
		}
		h.held = append(h.held, &held{conn: conn, in: bufio.NewReader(conn)})
	}
	return pace{h.Rate, 0, h.Duration, h.Count}, nil
}

func (h *Hold) once(_ context.Context, number int) (string, error) {
	c := h.held[number%len(h.held)]
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return "", errSkipped
	}
	if err := c.conn.SetDeadline(time.Now().Add(h.Timeout)); err != nil {
		return "", err
	}
	answer, err := h.Exchange(c.conn, c.in)
	if err != nil {
		c.cut = true
		return "", plain(err)
	}
	return answer, nil
}

func (h *Hold) finish() {
	for _, c := range h.held {
		_ = c.conn.Close() // it may have been cut; that was counted
	}
}

func echoLine(conn net.Conn, in *bufio.Reader) (string, error) {
	if _, err := io.WriteString(conn, "still there\n"); err != nil {
		return "", err
	}
	line, err := in.ReadBytes('\n')
	return head(line), err
}

// HTTPExchange asks for a page on a connection that is kept.
func HTTPExchange(path string) func(net.Conn, *bufio.Reader) (string, error) {
	return func(conn net.Conn, in *bufio.Reader) (string, error) {
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: held\r\n\r\n", path); err != nil {
			return "", err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		if err == nil && answer.Close {
			err = errors.New("the server said it would close")
		}
		return head(body), err
	}
}
