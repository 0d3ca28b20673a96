//go:build !windows

package ssh

import (
	"net"
	"time"
)

// usualAgent is the agent where the environment names none.
const usualAgent = ""

func dialAgentSocket(path string) (net.Conn, error) {
	return net.DialTimeout("unix", path, 2*time.Second)
}
