package network

import (
	"bufio"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holder finds a process of this network namespace that has the port, by the
// socket's inode in /proc/net and in the descriptors of all processes. It
// returns 0 where there is none to be seen.
func holder(port listener) (pid int, name string) {
	inodes := map[string]bool{}
	for _, table := range []string{port.Protocol, port.Protocol + "6"} {
		f, err := os.Open("/proc/thread-self/net/" + table)
		if err != nil {
			continue // no IPv6
		}
		for _, s := range readSockets(f) {
			if s.port == port.Number && s.meets(port.Address) && (port.Protocol == "udp" || s.state == tcpListen || s.state == tcpClose) {
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
	address netip.Addr // unspecified is all; so is one that can't be read
	port    uint16
	state   uint8
	inode   string
}

// meets says whether the socket keeps others from an address, or from all.
func (s socket) meets(a netip.Addr) bool {
	return !a.IsValid() || s.address.IsUnspecified() || s.address == a
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
		address, number, ok := strings.Cut(f[1], ":")
		port, err := strconv.ParseUint(number, 16, 16)
		state, err2 := strconv.ParseUint(f[3], 16, 8)
		if ok && err == nil && err2 == nil {
			list = append(list, socket{hexAddress(address), uint16(port), uint8(state), f[9]})
		}
	}
	return list
}

// hexAddress reads an address of /proc/net: words of 4 bytes in the order of the
// machine, which is little-endian wherever dray runs.
func hexAddress(s string) netip.Addr {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.IPv4Unspecified()
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.IPv4Unspecified()
	}
	return a.Unmap()
}
