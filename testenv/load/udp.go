package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// UDP sends numbered datagrams to a service that echoes them, at a constant
// rate from one socket, so that they are one flow to the kernel's connection
// tracking. An echo may have more text after a blank: it tells servers apart.
type UDP struct {
	Address  string
	Rate     float64 // a second
	Count    int
	Duration time.Duration
	Timeout  time.Duration // after which a datagram counts as lost; default 2 s

	conn    net.Conn
	mu      sync.Mutex
	waiting map[string]chan string
	reading sync.WaitGroup
}

var errLost = errors.New("no echo in time")

func (u *UDP) prepare() (pace, error) {
	if err := own(u.Address); err != nil {
		return pace{}, err
	}
	if u.Timeout == 0 {
		u.Timeout = 2 * time.Second
	}
	conn, err := net.Dial("udp", u.Address)
	if err != nil {
		return pace{}, err
	}
	u.conn, u.waiting = conn, map[string]chan string{}
	u.reading.Go(u.read)
	return pace{u.Rate, u.Count, u.Duration, 1024}, nil
}

// read hands echoes to those that wait, until the socket is closed. Other
// errors are of single datagrams: a port that refused shows as a lost echo.
func (u *UDP) read() {
	buf := make([]byte, 2048)
	for {
		n, err := u.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		key, rest, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
		u.mu.Lock()
		if c, ok := u.waiting[key]; ok {
			delete(u.waiting, key)
			c <- rest
		}
		u.mu.Unlock()
	}
}

func (u *UDP) once(_ context.Context, number int) (string, error) {
	key := fmt.Sprintf("dray-%d", number)
	echo := make(chan string, 1)
	u.mu.Lock()
	u.waiting[key] = echo
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		delete(u.waiting, key)
		u.mu.Unlock()
	}()
	if _, err := u.conn.Write([]byte(key)); err != nil {
		return "", plain(err)
	}
	timer := time.NewTimer(u.Timeout)
	defer timer.Stop()
	select {
	case rest := <-echo:
		return head([]byte(rest)), nil
	case <-timer.C:
		return "", errLost
	}
}

func (u *UDP) finish() {
	_ = u.conn.Close() // ends read
	u.reading.Wait()
}
