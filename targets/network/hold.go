package network

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// hold binds a port of the host, so that nothing else takes it.
func (n *Networks) hold(l listener) error {
	fd, err := bind(l)
	if errors.Is(err, unix.EADDRINUSE) {
		pid, process := holder(l)
		return &PortTakenError{Protocol: l.Protocol, Port: l.Number, Address: l.Address, Pid: pid, Process: process}
	}
	if err != nil {
		return fmt.Errorf("binding port %d/%s: %w", l.Number, l.Protocol, err)
	}
	n.held[l] = fd
	return nil
}

// holdReserved binds the ports of the state that are not held: those of an
// interface that got an address, and those that waited for a wider one. It says
// once of each that it could not be had: the kernel translates the port first,
// so it is served all the same.
func (n *Networks) holdReserved() {
	for name, owner := range n.state.Reserved {
		port, err := parsePort(name)
		if err != nil {
			n.log.Warn("a published port can't be read", "port", name, "service", owner.String())
			continue
		}
		for _, l := range n.state.listeners(port) {
			if _, held := n.held[l]; held {
				continue
			}
			err := n.hold(l)
			if err != nil && !n.missed[l] {
				n.log.Warn("a published port could not be held", "port", name, "service", owner.String(), "error", err)
			}
			n.missed[l] = err != nil
		}
	}
}

// letGoUnused closes the sockets of ports that nobody has in the state.
func (n *Networks) letGoUnused(s *state) {
	wanted := map[listener]bool{}
	for name := range s.Reserved {
		if port, err := parsePort(name); err == nil { // holdReserved says so of one that is not
			for _, l := range s.listeners(port) {
				wanted[l] = true
			}
		}
	}
	for l, fd := range n.held {
		if wanted[l] {
			continue
		}
		if err := unix.Close(fd); err != nil {
			n.log.Warn("giving back a port", "port", l.Number, "protocol", l.Protocol, "error", err)
		}
		delete(n.held, l)
	}
}

// bind returns a socket bound to the port at an address, or on every IPv4 and
// IPv6 address; or on every IPv4 address where the host has no IPv6. An address
// that the host does not have yet can be bound. A TCP socket that does not listen
// refuses connections; what reaches a UDP one is refused by the table before.
func bind(l listener) (int, error) {
	kind := unix.SOCK_STREAM
	if l.Protocol == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, address, err := unbound(l, kind|unix.SOCK_CLOEXEC)
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

// unbound makes the socket, and the address to bind it to.
func unbound(l listener, kind int) (int, unix.Sockaddr, error) {
	option := func(fd, level, name, value int) (int, error) {
		if err := unix.SetsockoptInt(fd, level, name, value); err != nil {
			return -1, errors.Join(err, unix.Close(fd))
		}
		return fd, nil
	}
	if !l.Address.IsValid() {
		if fd, err := unix.Socket(unix.AF_INET6, kind, 0); err == nil {
			fd, err = option(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
			return fd, &unix.SockaddrInet6{Port: int(l.Number)}, err
		}
	}
	fd, err := unix.Socket(unix.AF_INET, kind, 0)
	to := &unix.SockaddrInet4{Port: int(l.Number)}
	if err == nil && l.Address.IsValid() {
		to.Addr = l.Address.As4()
		fd, err = option(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	}
	return fd, to, err
}
