package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"dray/pipeline/event"
)

// ErrCut means that a stream ended before its result: what the host has done
// since the last event is not known. Every call can be repeated.
var ErrCut = errors.New("the answer was cut off")

// Dialer makes a connection to an agent's socket.
type Dialer func(ctx context.Context) (net.Conn, error)

// Client calls one agent. It is safe for concurrent use.
type Client struct {
	http  *http.Client
	actor string
}

// BaseURL is what every path of an agent's API is put behind. The name in it
// is never looked up.
const BaseURL = "http://agent"

const (
	unaryTimeout  = 60 * time.Second // of a call that answers with one value
	largestAnswer = 64 << 20         // bytes of such an answer
)

// NewClient returns a client that reaches the agent through dial and speaks
// for actor.
func NewClient(dial Dialer, actor Actor) *Client {
	header, err := json.Marshal(actor)
	if err != nil {
		panic(err) // three strings always marshal
	}
	return &Client{
		actor: string(header),
		http: &http.Client{Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     5 * time.Minute,
			DisableCompression:  true,
		}},
	}
}

// HTTP returns an HTTP client and the base URL for the Docker Engine API and
// the distribution protocol of the same agent. For an upgrade (attach, exec)
// the response's Body is an io.ReadWriteCloser, as net/http documents.
func (c *Client) HTTP() (client *http.Client, baseURL string) { return c.http, BaseURL }

// CloseIdle closes connections that no call uses.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// call sends one request and reads one JSON value into result, which may be
// nil.
func (c *Client) call(ctx context.Context, method, path string, body, result any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, unaryTimeout,
		fmt.Errorf("the agent gave no answer to %s %s within %s", method, path, unaryTimeout))
	defer cancel()
	resp, err := c.send(ctx, method, path, body) //nolint:bodyclose // drain closes it
	if err != nil {
		return err
	}
	defer drain(resp.Body)
	if result == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, largestAnswer)).Decode(result); err != nil {
		return fmt.Errorf("reading the answer to %s %s: %w", method, path, cause(ctx, err))
	}
	return nil
}

// stream sends one request, passes the answer's events to sink, and reads its
// result into result.
func (c *Client) stream(ctx context.Context, method, path string, body any, sink event.Sink, result any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read only: nothing can be lost
	lines := json.NewDecoder(resp.Body)
	for {
		var line StreamLine
		if err := lines.Decode(&line); err != nil {
			return cutError(ctx, method+" "+path, err)
		}
		switch {
		case line.Error != nil:
			return line.Error
		case line.Result != nil:
			if result == nil {
				return nil
			}
			if err := json.Unmarshal(line.Result, result); err != nil {
				return fmt.Errorf("reading the result of %s %s: %w", method, path, err)
			}
			return nil
		case line.Event != nil && sink != nil:
			sink.Emit(*line.Event)
		}
	}
}

// cutError tells an end without a result from a line that is not JSON.
func cutError(ctx context.Context, call string, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("reading the answer to %s: %w", call, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", call, context.Cause(ctx))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", call, ErrCut)
	}
	return fmt.Errorf("%s: %w: %w", call, ErrCut, err)
}

// send sends one request. A status of 400 or more is returned as *Error.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("writing the request %s %s: %w", method, path, err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, BaseURL+path, content)
	if err != nil {
		return nil, fmt.Errorf("writing the request %s %s: %w", method, path, err)
	}
	req.Header.Set(ActorHeader, c.actor)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var call *url.Error // names an address that nobody knows: what was asked for is said elsewhere
		if errors.As(err, &call) {
			err = call.Err
		}
		return nil, fmt.Errorf("asking the agent: %w", cause(ctx, err))
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer drain(resp.Body)
	return nil, readError(resp, method, path)
}

// readError reads the body of a refusal. What is not an Error (an agent of
// another kind, or older) is told as it is.
func readError(resp *http.Response, method, path string) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the answer to %s %s: %w", method, path, err)
	}
	var e Error
	if json.Unmarshal(text, &e) == nil && e.Code != "" {
		return &e
	}
	e = Error{Code: CodeInternal, Message: fmt.Sprintf("%s %s: %s", method, path, resp.Status), Detail: string(bytes.TrimSpace(text))}
	if resp.StatusCode == http.StatusNotFound {
		e.Code = CodeNotFound
	}
	return &e
}

// cause prefers the reason why ctx ended over the error that it led to.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// drain reads a small rest, so that the connection can be used again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10) // an error here only costs the reuse
	_ = body.Close()
}
