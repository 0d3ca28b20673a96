package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

// HTTP asks for a page at a constant rate. An answer other than 2xx is a
// failure.
type HTTP struct {
	URL       string
	Rate      float64       // a second
	Count     int           // at most; 0: no other bound than MaxCount
	Duration  time.Duration // at most; 0: no other bound than MaxDuration
	KeepAlive bool          // reuse connections; otherwise one for each request
	Timeout   time.Duration // for one request; default 10 s
	Parallel  int           // at once; default 256

	client  *http.Client
	retried atomic.Int64
}

// Retried tells how many requests net/http sent again because the server had
// closed the kept connection at that moment.
func (h *HTTP) Retried() int { return int(h.retried.Load()) }

func (h *HTTP) prepare() (pace, error) {
	u, err := url.Parse(h.URL)
	if err != nil {
		return pace{}, err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	if err := own(net.JoinHostPort(u.Hostname(), port)); err != nil {
		return pace{}, err
	}
	if h.Timeout == 0 {
		h.Timeout = 10 * time.Second
	}
	if h.Parallel == 0 {
		h.Parallel = 256
	}
	h.client = &http.Client{
		Timeout: h.Timeout,
		Transport: &http.Transport{
			DisableKeepAlives:   !h.KeepAlive,
			MaxIdleConnsPerHost: h.Parallel,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return pace{h.Rate, h.Count, h.Duration, h.Parallel}, nil
}

func (h *HTTP) once(ctx context.Context, _ int) (string, error) {
	// net/http tries a GET again by itself when a kept connection turns out to
	// have been closed. That is no failure, but it is counted.
	tries := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if tries++; tries > 1 {
			h.retried.Add(1)
		}
	}})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return "", err
	}
	answer, err := h.client.Do(request)
	if err != nil {
		return "", plain(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return "", plain(err)
	}
	if answer.StatusCode/100 != 2 {
		return "", fmt.Errorf("status %s", answer.Status)
	}
	return head(body), nil
}

func (h *HTTP) finish() { h.client.CloseIdleConnections() }

// plain strips an error of ports and addresses, so that equal ones are counted
// together.
func plain(err error) error {
	var timeout interface{ Timeout() bool }
	var number syscall.Errno
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	case errors.As(err, &number):
		return number
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	}
	var in *url.Error
	if errors.As(err, &in) {
		return in.Err
	}
	return err
}
