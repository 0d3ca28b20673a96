package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// ErrNotRunning says that the embedded builder does not run.
var ErrNotRunning = errors.New("the builder does not run")

var errInUse = errors.New("the builder is in use")

// ReadStatus asks the embedded builder about itself, without starting it or
// keeping it from ending. It returns ErrNotRunning when there is none.
func ReadStatus(ctx context.Context, o Embedded) (Status, error) {
	body, err := ask(ctx, o, http.MethodGet, "/status")
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		return Status{}, fmt.Errorf("reading the builder's status: %w", err)
	}
	return s, nil
}

// Stop ends the embedded builder once running builds have ended. It returns
// ErrNotRunning when there is none.
func Stop(ctx context.Context, o Embedded) error { return stop(ctx, o, false) }

func stop(ctx context.Context, o Embedded, onlyIdle bool) error {
	path := "/stop"
	if onlyIdle {
		path += "?if=idle"
	}
	_, err := ask(ctx, o, http.MethodPost, path)
	return err
}

// ask makes one request on the control socket.
func ask(ctx context.Context, o Embedded, method, path string) ([]byte, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", o.control())
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://builder"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("asking the builder: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking the builder: %w", err)
	case resp.StatusCode == http.StatusConflict:
		return nil, errInUse
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("asking the builder: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}
