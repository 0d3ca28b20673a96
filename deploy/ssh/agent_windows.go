package ssh

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// usualAgent is the agent where the environment names none.
const usualAgent = `\\.\pipe\openssh-ssh-agent`

// dialAgentSocket opens the named pipe of Windows' OpenSSH agent, or a unix
// socket (Git for Windows, WSL).
func dialAgentSocket(path string) (net.Conn, error) {
	if !strings.HasPrefix(path, `\\.\pipe\`) {
		return net.DialTimeout("unix", path, 2*time.Second)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the agent's pipe: %w", err)
	}
	return &pipeConn{File: pipe}, nil
}

// pipeConn makes a net.Conn of a named pipe.
type pipeConn struct{ *os.File }

// LocalAddr is the pipe's name.
func (c *pipeConn) LocalAddr() net.Addr { return &net.UnixAddr{Name: c.Name(), Net: "pipe"} }

// RemoteAddr is the pipe's name.
func (c *pipeConn) RemoteAddr() net.Addr { return c.LocalAddr() }
