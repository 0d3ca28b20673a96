package main

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

	"dray/targets/api"
)

// engine speaks the Docker Engine API of one host's agent: the calls that
// dray's own verbs need.
type engine struct {
	host   string
	client *api.Client
	dial   func(ctx context.Context) (net.Conn, error) // for calls that take the connection over
}

// listed is a container with the labels that dray reads.
type listed struct {
	container.Summary
	engine *engine
}

func (c *listed) instance() string { return c.Labels["dray.instance"] }

// list returns the containers with all these labels ("dray.service=web"),
// those that ended included.
func (e *engine) list(ctx context.Context, labels ...string) ([]listed, error) {
	filters, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		return nil, err
	}
	var summaries []container.Summary
	path := "/containers/json?all=1&filters=" + url.QueryEscape(string(filters))
	if err := e.get(ctx, path, &summaries); err != nil {
		return nil, err
	}
	out := make([]listed, len(summaries))
	for i, s := range summaries {
		out[i] = listed{Summary: s, engine: e}
	}
	return out, nil
}

// logs copies a container's output, a line at a time, until it ends or ctx
// does.
func (e *engine) logs(ctx context.Context, id string, query url.Values, tty bool, out, errOut io.Writer) error {
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

func (e *engine) get(ctx context.Context, path string, into any) error {
	resp, err := e.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

func (e *engine) post(ctx context.Context, path string, body, into any) error {
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
func (e *engine) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
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
		return nil, errors.New(engineMessage(resp.Body))
	}
	return resp, nil
}

func engineMessage(r io.Reader) string {
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return err.Error()
	}
	var e struct{ Message string }
	if json.Unmarshal(b, &e) == nil && e.Message != "" {
		return e.Message
	}
	return strings.TrimSpace(string(b))
}

// takeOver sends a request whose connection becomes a raw stream, as the
// Engine API does for exec and attach.
func (e *engine) takeOver(ctx context.Context, path string, body any) (net.Conn, *bufio.Reader, error) {
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
		return nil, nil, fmt.Errorf("%s: %w", e.host, err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req) //nolint:bodyclose // the body is the connection itself
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.host, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.StatusCode != http.StatusOK {
		defer conn.Close()
		return nil, nil, fmt.Errorf("%s: %s", e.host, engineMessage(resp.Body))
	}
	return conn, r, nil
}
