package network

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder finds a process of this network namespace that has the port, by the
// socket's inode in /proc/net and in the descriptors of all processes. It
// returns 0 where there is none to be seen.
func holder(port hostPort) (pid int, name string) {
	inodes := map[string]bool{}
	for _, table := range []string{port.Protocol, port.Protocol + "6"} {
		f, err := os.Open("/proc/thread-self/net/" + table)
		if err != nil {
			continue // no IPv6
		}
		for _, s := range readSockets(f) {
			if s.port == port.Number && (port.Protocol == "udp" || s.state == tcpListen || s.state == tcpClose) {
				inodes[s.inode] = true
			}
		}
		f.Close() // read only
	}
	delete(inodes, "0")
	if len(inodes) == 0 {
		return 0, ""
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, ""
	}
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil {
			continue // it has gone meanwhile
		}
		inode, ok := strings.CutPrefix(to, "socket:[")
		if ok && inodes[strings.TrimSuffix(inode, "]")] {
			process := filepath.Dir(filepath.Dir(fd))
			comm, _ := os.ReadFile(filepath.Join(process, "comm")) // without a name the pid says enough
			pid, _ := strconv.Atoi(filepath.Base(process))         // the pattern has digits only
			return pid, strings.TrimSpace(string(comm))
		}
	}
	return 0, ""
}

// States of a socket in /proc/net/tcp.
const (
	tcpClose  = 0x07
	tcpListen = 0x0a
)

// socket is a line of /proc/net/tcp, tcp6, udp or udp6 (proc_net_tcp.txt of
// the kernel's documentation).
type socket struct {
	port  uint16
	state uint8
	inode string
}

// readSockets reads what it understands and skips what it does not.
func readSockets(r io.Reader) []socket {
	var list []socket
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 {
			continue
		}
		_, hex, ok := strings.Cut(f[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		state, err2 := strconv.ParseUint(f[3], 16, 8)
		if ok && err == nil && err2 == nil {
			list = append(list, socket{uint16(port), uint8(state), f[9]})
		}
	}
	return list
}
