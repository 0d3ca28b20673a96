package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"dray/pipeline"
	"dray/pipeline/output"
	"dray/targets/runtime"
)

// prober does single checks.
type prober struct{ engine Engine }

// maxBody bounds what is read of an answer.
const maxBody = 64 << 10

// probe checks a container once. Its error says what was tried and what came
// of it, in one line.
func (p prober) probe(ctx context.Context, c runtime.Container) error {
	check := c.Spec.Check
	switch check.Type {
	case pipeline.CheckHTTP:
		return probeHTTP(ctx, hostOf(c), target(c), check.Path)
	case pipeline.CheckTCP:
		return probeTCP(ctx, target(c))
	case pipeline.CheckExec:
		return p.probeExec(ctx, c)
	}
	return fmt.Errorf("a check of type %q is not known here", check.Type)
}

func target(c runtime.Container) netip.AddrPort {
	return netip.AddrPortFrom(c.Address, uint16(c.Spec.Check.Port))
}

// hostOf is the name that a check asks for: that by which other services
// reach the container.
func hostOf(c runtime.Container) string {
	if name := c.Spec.Labels[runtime.LabelService]; name != "" {
		return name
	}
	return c.Spec.Name
}

// probeHTTP succeeds with a status from 200 to 399. Redirects are not
// followed. Each check is a connection of its own, and leaves none open.
func probeHTTP(ctx context.Context, host string, to netip.AddrPort, path string) error {
	url := "http://" + to.String() + "/" + strings.TrimPrefix(path, "/")
	fail := func(err error) error { return fmt.Errorf("GET %s: %w", url, plain(ctx, err)) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fail(err)
	}
	req.Host, req.Close = host, true
	req.Header.Set("User-Agent", "dray-check")
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return fail(err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		err := fmt.Errorf("status %d", answer.StatusCode)
		if line := lastLine(string(body)); line != "" && strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
			err = fmt.Errorf("%w: %s", err, line)
		}
		return fail(err)
	}
	return nil
}

// probeTCP succeeds when a connection is accepted.
func probeTCP(ctx context.Context, to netip.AddrPort) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return fmt.Errorf("connecting to %v: %w", to, plain(ctx, err))
	}
	_ = c.Close() // it was accepted
	return nil
}

// probeExec succeeds when the command exits with 0.
func (p prober) probeExec(ctx context.Context, c runtime.Container) error {
	command := c.Spec.Check.Command
	var out output.Tail
	code, err := p.engine.Exec(ctx, c.ID, runtime.ExecConfig{Command: command}, runtime.Streams{Stdout: &out, Stderr: &out})
	if err == nil && code == 0 {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("exit code %d", code)
		if line := lastLine(out.String()); line != "" {
			err = fmt.Errorf("%w: %s", err, line)
		}
	}
	return fmt.Errorf("%s: %w", strings.Join(command, " "), plain(ctx, err))
}

// plain cuts an error down to what a person needs beside the address: the
// kernel's word, or that the time was over.
func plain(ctx context.Context, err error) error {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, context.DeadlineExceeded):
		return context.Cause(ctx)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed without an answer")
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "Get ") {
		return inner
	}
	return err
}

// lastLine returns the last line that is not empty, fit to be shown: at most
// 120 printable characters.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	line := text[strings.LastIndexByte(text, '\n')+1:]
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, line)
	if runes := []rune(line); len(runes) > 120 {
		line = string(runes[:119]) + "…"
	}
	return line
}

// portText is a port as people write it.
func portText(p int) string { return ":" + strconv.Itoa(p) }
