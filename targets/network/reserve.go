package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PortTakenError says that a port of the host is not to be had.
type PortTakenError struct {
	Protocol string
	Port     uint16
	Service  Key    // of dray, that has the port; zero if it is none
	Pid      int    // of the process that has it; 0 if that is not known
	Process  string // its name
}

// Error names the port and who has it.
func (e *PortTakenError) Error() string {
	by := "another process"
	switch {
	case e.Service != Key{}:
		by = "service " + e.Service.Service + " of " + e.Service.Network
	case e.Pid != 0:
		by = fmt.Sprintf("%s (pid %d)", e.Process, e.Pid)
	}
	return fmt.Sprintf("port %d/%s is taken by %s", e.Port, e.Protocol, by)
}

// Reserve takes the published ports among ports for a service, on all
// addresses of the host, until Release, Remove or Change.Remove: they are
// bound, and refuse connections until the service has backends. A port that
// another service of the network has is no error: it changes hands when the
// service is switched to. Reserve takes all or none, and fails with
// *PortTakenError.
func (n *Networks) Reserve(ctx context.Context, network, service string, ports []Port) error {
	owner := Key{network, service}
	n.mu.Lock()
	next := n.state.clone()
	err := n.claim(next, owner, Service{Ports: ports}.published(), false)
	if err == nil {
		tx := n.begin()
		tx.follow(layoutOf(n.state), layoutOf(next))
		if err = tx.commit(); err != nil {
			n.letGoUnused(n.state)
		}
	}
	if err == nil {
		err = n.adopt(next)
	}
	n.mu.Unlock()
	if err == nil {
		err = n.finish(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("reserving ports of %s: %w", owner, err)
	}
	return nil
}

// Release forgets the services of a network that are not among keep, and gives
// back the ports that none of keep publishes.
func (n *Networks) Release(ctx context.Context, network string, keep []Service) error {
	kept := map[string]bool{}
	ports := map[string]bool{}
	for _, s := range keep {
		kept[s.Name] = true
		for _, p := range s.published() {
			ports[p.String()] = true
		}
	}
	n.mu.Lock()
	var c Change
	for _, s := range n.state.services() {
		if s.Network == network && !kept[s.Name] {
			c.Remove = append(c.Remove, s.Key())
		}
	}
	renamed, err := n.apply(c, func(port string, owner Key) bool { return owner.Network != network || ports[port] })
	n.mu.Unlock()
	if err == nil {
		err = n.finish(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("giving back ports of %s: %w", network, err)
	}
	n.announce(renamed)
	return nil
}

// publishes says whether a service has the port as one of its own.
func (s *state) publishes(k Key, port string) bool {
	return slices.ContainsFunc(s.Services[k.String()].published(), func(p hostPort) bool { return p.String() == port })
}

// claim binds the ports, and makes them the owner's in next. With take, the
// owner also gets those that another service of its network has. Where it
// fails, it lets go of what it bound.
func (n *Networks) claim(next *state, owner Key, ports []hostPort, take bool) error {
	for _, port := range ports {
		has, taken := next.Reserved[port.String()]
		if taken && has.Network != owner.Network {
			n.letGoUnused(n.state)
			return &PortTakenError{Protocol: port.Protocol, Port: port.Number, Service: has}
		}
		if _, held := n.held[port]; !held {
			if err := n.hold(port); err != nil && !taken {
				n.letGoUnused(n.state)
				return err
			}
		}
		if !taken || take {
			next.Reserved[port.String()] = owner
		}
	}
	return nil
}

// adopt makes next the state, and lets go of ports that nobody has in it.
func (n *Networks) adopt(next *state) error {
	n.state = next
	n.letGoUnused(next)
	n.openLoopback()
	return n.file.put(next)
}

// letGoUnused closes the sockets of ports that nobody has in the state.
func (n *Networks) letGoUnused(s *state) {
	for port, fd := range n.held {
		if _, ok := s.Reserved[port.String()]; ok {
			continue
		}
		if err := unix.Close(fd); err != nil {
			n.log.Warn("giving back a port", "port", port.String(), "error", err)
		}
		delete(n.held, port)
	}
}

// hold binds a port on all addresses.
func (n *Networks) hold(port hostPort) error {
	fd, err := bind(port)
	if errors.Is(err, unix.EADDRINUSE) {
		pid, process := holder(port)
		return &PortTakenError{Protocol: port.Protocol, Port: port.Number, Pid: pid, Process: process}
	}
	if err != nil {
		return fmt.Errorf("binding port %s: %w", port, err)
	}
	n.held[port] = fd
	return nil
}

// bind returns a socket bound to the port on every IPv4 and IPv6 address, or
// on every IPv4 address where the host has no IPv6. A TCP socket that does not
// listen refuses connections; what reaches a UDP one is refused by the table
// before.
func bind(port hostPort) (int, error) {
	kind := unix.SOCK_STREAM
	if port.Protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0)
	var address unix.Sockaddr = &unix.SockaddrInet6{Port: int(port.Number)}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	} else {
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
		address = &unix.SockaddrInet4{Port: int(port.Number), Addr: netip.IPv4Unspecified().As4()}
	}
	if err != nil {
		return -1, err
	}
	if kind == unix.SOCK_DGRAM {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0) // the kernel's least
	}
	if err == nil {
		err = unix.Bind(fd, address)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// String returns "PROTOCOL/NUMBER".
func (p hostPort) String() string { return p.Protocol + "/" + strconv.Itoa(int(p.Number)) }

func parsePort(s string) (hostPort, error) {
	protocol, number, _ := strings.Cut(s, "/")
	v, err := strconv.ParseUint(number, 10, 16)
	if err != nil || (protocol != "tcp" && protocol != "udp") {
		return hostPort{}, fmt.Errorf("%q is not a port", s)
	}
	return hostPort{protocol, uint16(v)}, nil
}
