package ssh

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"dray/pipeline/output"
	"dray/pipeline/shell"
)

// dialProxy runs the ProxyCommand of the SSH configuration and speaks through
// its stdio.
func (e *endpoint) dialProxy(command string) (net.Conn, error) {
	if runtime.GOOS != "windows" {
		command = "exec " + command
	}
	cmd := shell.Command(context.Background(), os.Getenv("SHELL"), command) // it lives until Close
	cmd.WaitDelay = 200 * time.Millisecond                                  // its children may hold its pipes
	stderr := &output.Tail{}
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, e.dialError(fmt.Errorf("starting ProxyCommand: %w", err))
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, e.dialError(fmt.Errorf("starting ProxyCommand: %w", err))
	}
	if err := cmd.Start(); err != nil {
		return nil, e.dialError(fmt.Errorf("starting ProxyCommand: %w", err))
	}
	return &proxyConn{Reader: out, WriteCloser: in, cmd: cmd, stderr: stderr}, nil
}

// proxyConn is a command's stdio as a connection.
type proxyConn struct {
	io.Reader
	io.WriteCloser
	cmd     *exec.Cmd
	stderr  *output.Tail
	closing sync.Once
}

// Close ends the command.
func (c *proxyConn) Close() error {
	c.closing.Do(func() {
		_ = c.WriteCloser.Close()
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait() // it was killed: its code says nothing
	})
	return nil
}

// LocalAddr names the command.
func (c *proxyConn) LocalAddr() net.Addr { return proxyAddr(c.cmd.Path) }

// RemoteAddr names the command.
func (c *proxyConn) RemoteAddr() net.Addr { return proxyAddr(c.cmd.Path) }

// SetDeadline does nothing: handshakes end by Close.
func (c *proxyConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *proxyConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *proxyConn) SetWriteDeadline(time.Time) error { return nil }

type proxyAddr string

// Network returns "proxy".
func (proxyAddr) Network() string { return "proxy" }

// String returns the command's path.
func (a proxyAddr) String() string { return string(a) }
