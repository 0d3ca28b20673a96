package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"dray/pipeline/output"
)

// counter counts bytes on the wire.
type counter struct{ sent, received atomic.Int64 }

// Conn is a connection to a host, logged in. It is a Transport.
type Conn struct {
	name    string
	address string // user@host[:port]
	client  *ssh.Client
	wire    *countingConn
	release func() // lets go of the jump host's connection

	ending sync.Once
	done   chan struct{}
	err    error // set before done is closed
	work   sync.WaitGroup
}

var _ Transport = (*Conn)(nil)

// newConn owns client.
func newConn(e *endpoint, client *ssh.Client, wire *countingConn) *Conn {
	c := &Conn{name: e.name, address: e.login(), client: client, wire: wire, release: func() {}, done: make(chan struct{})}
	c.work.Go(func() {
		err := client.Wait()
		c.end(fmt.Errorf("%s: %w: %w", c.name, ErrLost, err))
	})
	c.work.Go(func() { c.keepAlive(e.keepAlive, e.keepAliveMost) })
	return c
}

// Name returns the host's name in the file.
func (c *Conn) Name() string { return c.name }

// Address returns user@host[:port].
func (c *Conn) Address() string { return c.address }

// Stats counts the bytes of this connection, encryption included.
func (c *Conn) Stats() Stats {
	return Stats{Sent: c.wire.sent.Load(), Received: c.wire.received.Load()}
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection has ended; nil while it lives and after Close.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close ends the connection, and those to its jump hosts that nobody else uses.
func (c *Conn) Close() error {
	c.end(nil)
	c.work.Wait()
	c.release()
	return nil
}

func (c *Conn) end(why error) {
	c.ending.Do(func() {
		c.err = why
		close(c.done)
		_ = c.wire.Close() // before the client's polite end, which blocks on a dead peer
		_ = c.client.Close()
	})
}

// keepAlive asks a peer that sends nothing for a sign of life, and ends the connection
// when none comes. Any byte is one: on a busy slow link the answer queues.
func (c *Conn) keepAlive(every time.Duration, most int) {
	longest := max(time.Duration(most)*every, time.Second)
	asked := make(chan struct{}, 1)
	c.work.Go(func() {
		for range asked {
			_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil) // the answer shows in Stats
		}
	})
	defer close(asked)
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen, since := c.wire.received.Load(), time.Now()
	for {
		select {
		case <-c.done:
			return
		case now := <-tick.C:
			if n := c.wire.received.Load(); n != seen {
				seen, since = n, now
				continue
			}
			if now.Sub(since) >= longest {
				c.end(fmt.Errorf("%s: %w: nothing was heard from it for %s", c.name, ErrLost, longest))
				return
			}
			select {
			case asked <- struct{}{}:
			default: // one question is on its way
			}
		}
	}
}

// Start starts a command with the user's shell.
func (c *Conn) Start(ctx context.Context, command string) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	session, err := c.client.NewSession()
	if err != nil {
		return nil, c.lostOr("opening a session", err)
	}
	stderr := &output.Tail{}
	session.Stderr = stderr
	stdin, err := session.StdinPipe()
	if err != nil {
		return nil, errors.Join(c.lostOr("opening a session", err), session.Close())
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return nil, errors.Join(c.lostOr("opening a session", err), session.Close())
	}
	if err := session.Start(command); err != nil {
		return nil, errors.Join(c.lostOr("starting a command", err), session.Close())
	}
	return &Process{
		Stdio:  &sessionStdio{Reader: stdout, Writer: stdin, session: session},
		EOF:    stdin.Close,
		Wait:   func() error { return c.exit(session.Wait(), stderr) },
		Stderr: stderr,
	}, nil
}

// lostOr prefers the reason of the connection's end.
func (c *Conn) lostOr(doing string, err error) error {
	if lost := c.Err(); lost != nil {
		return lost
	}
	return fmt.Errorf("%s on %s: %w", doing, c.name, err)
}

func (c *Conn) exit(err error, stderr *output.Tail) error {
	var status *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status) && status.Signal() != "":
		return &ExitError{Code: -1, Stderr: cmp.Or(stderr.String(), "ended by SIG"+status.Signal())}
	case errors.As(err, &status):
		return &ExitError{Code: status.ExitStatus(), Stderr: stderr.String()}
	case errors.As(err, &missing):
		if lost := c.Err(); lost != nil {
			return lost
		}
		return &ExitError{Code: -1, Stderr: stderr.String()}
	}
	return c.lostOr("waiting for a command", err)
}

// sessionStdio is stdout and stdin of a session.
type sessionStdio struct {
	io.Reader
	io.Writer
	session *ssh.Session
}

// Close ends the session.
func (s *sessionStdio) Close() error {
	if err := s.session.Close(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
