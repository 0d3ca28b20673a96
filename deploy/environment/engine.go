package environment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"

	"dray/deploy"
	"dray/pipeline/event"
	"dray/targets/api"
)

// Engine speaks the Docker Engine API of one host's agent: the calls that
// dray's own verbs need.
type Engine struct {
	Host   string
	client *api.Client
	dial   func(ctx context.Context) (net.Conn, error) // for calls that take the connection over
}

// EngineOf returns the Engine API of a connected host.
func EngineOf(h *deploy.Host) *Engine { return &Engine{Host: h.Name, client: h.Client, dial: h.Dial} }

// Container is a container with the labels that dray reads.
type Container struct {
	container.Summary
	Engine *Engine
}

// Instance is the instance that the container is of: "web/1".
func (c *Container) Instance() string { return c.Labels["dray.instance"] }

// List returns the containers with all these labels ("dray.service=web"),
// those that ended included.
func (e *Engine) List(ctx context.Context, labels ...string) ([]Container, error) {
	filters, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		return nil, err
	}
	var summaries []container.Summary
	path := "/containers/json?all=1&filters=" + url.QueryEscape(string(filters))
	if err := e.Get(ctx, path, &summaries); err != nil {
		return nil, err
	}
	out := make([]Container, len(summaries))
	for i, s := range summaries {
		out[i] = Container{Summary: s, Engine: e}
	}
	return out, nil
}

// StopAll ends the containers with all these labels that run, and says how many
// those were.
func (e *Engine) StopAll(ctx context.Context, labels ...string) (int, error) {
	all, err := e.List(ctx, labels...)
	stopped := 0
	for _, c := range all {
		if err == nil && c.State == "running" {
			err = e.Post(ctx, "/containers/"+c.ID+"/stop", nil, nil)
			stopped++
		}
	}
	return stopped, err
}

// Logs copies a container's output, a line at a time, until it ends or ctx
// does.
func (e *Engine) Logs(ctx context.Context, id string, query url.Values, tty bool, out, errOut io.Writer) error {
	resp, err := e.do(ctx, http.MethodGet, "/containers/"+id+"/logs?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if tty {
		_, err = io.Copy(out, resp.Body)
	} else {
		_, err = stdcopy.StdCopy(out, errOut, resp.Body)
	}
	if ctx.Err() != nil {
		return nil // the reader had enough
	}
	return err
}

// Get reads one value.
func (e *Engine) Get(ctx context.Context, path string, into any) error {
	resp, err := e.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// Post sends body and reads the answer into into; both may be nil.
func (e *Engine) Post(ctx context.Context, path string, body, into any) error {
	resp, err := e.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// do sends one request. An answer of 400 or more becomes an error with the
// agent's message.
func (e *Engine) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	client, base := e.client.HTTP()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, refusal(resp.Body)
	}
	return resp, nil
}

// refusal is what an agent refused, as its own error where it gives one.
func refusal(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return err
	}
	var e api.Error
	switch err := json.Unmarshal(b, &e); {
	case err == nil && e.Code != "":
		return &e
	case err == nil && e.Message != "":
		return errors.New(e.Message)
	}
	return errors.New(strings.TrimSpace(string(b)))
}

// TakeOver sends a request whose connection becomes a raw stream, as the
// Engine API does for exec and attach.
func (e *Engine) TakeOver(ctx context.Context, path string, body any) (net.Conn, *bufio.Reader, error) {
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	var content []byte
	if body != nil { // what follows the request's head is the program's input
		if content, err = json.Marshal(body); err != nil {
			return nil, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+path, bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	if err := req.Write(conn); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.Host, err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req) //nolint:bodyclose // the body is the connection itself
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.Host, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.StatusCode != http.StatusOK {
		defer conn.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.Host, refusal(resp.Body))
	}
	return conn, r, nil
}

// Events passes a host's events to each, until ctx ends.
func (e *Engine) Events(ctx context.Context, each func(event.Event)) error {
	resp, err := e.do(ctx, http.MethodGet, "/dray/v1/events", nil)
	if err != nil {
		return &deploy.HostError{Host: e.Host, Err: err}
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one event.Event
		if err := json.Unmarshal(lines.Bytes(), &one); err == nil { // a newer agent may send what this dray does not know
			each(one)
		}
	}
	if ctx.Err() != nil {
		return nil // the reader had enough
	}
	return &deploy.HostError{Host: e.Host, Err: errors.Join(errors.New("the stream of events ended"), lines.Err())}
}
