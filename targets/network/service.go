package network

import (
	"net/netip"
	"slices"
)

// Port is a port of a service.
type Port struct {
	Protocol string `json:"protocol"`          // "tcp" or "udp"
	To       uint16 `json:"to"`                // in the container
	Publish  uint16 `json:"publish,omitempty"` // on the host; 0 is not published
	// Addresses says where on the host: IPv4 addresses and names of interfaces.
	// None is all of the host's addresses.
	Addresses []string       `json:"addresses,omitempty"`
	From      []netip.Prefix `json:"from,omitempty"` // who may connect; none is everybody
}

// Backend is a container that takes new connections of a service.
type Backend struct {
	Address netip.Addr `json:"address"`
	Ports   []Port     `json:"ports,omitempty"` // where its release differs from Service.Ports
}

// Service is a name in a network, with the containers that serve it now.
// Without any, its ports refuse connections.
type Service struct {
	Network  string     `json:"network"`
	Name     string     `json:"name"`
	Address  netip.Addr `json:"address"` // stable and virtual; given by Networks
	Ports    []Port     `json:"ports,omitempty"`
	Backends []Backend  `json:"backends,omitempty"`
}

// Key names a service on a host.
type Key struct {
	Network string `json:"network"`
	Service string `json:"service"`
}

// String returns "NETWORK/SERVICE".
func (k Key) String() string { return k.Network + "/" + k.Service }

// Key returns the service's name and network.
func (s Service) Key() Key { return Key{s.Network, s.Name} }

// HostEntry is a line of /etc/hosts.
type HostEntry struct {
	Address netip.Addr
	Name    string
}

// published returns the ports of the host that the port is published as.
func (p Port) published() []hostPort {
	switch {
	case p.Publish == 0:
		return nil
	case len(p.Addresses) == 0:
		return []hostPort{{p.Protocol, "", p.Publish}}
	}
	var ports []hostPort
	for _, a := range p.Addresses {
		ports = append(ports, hostPort{p.Protocol, a, p.Publish})
	}
	return ports
}

// published returns the ports of the host that the service has, sorted, those
// of its backends included.
func (s Service) published() []hostPort {
	var ports []hostPort
	add := func(of []Port) {
		for _, p := range of {
			ports = append(ports, p.published()...)
		}
	}
	add(s.Ports)
	for _, b := range s.Backends {
		add(b.Ports)
	}
	slices.SortFunc(ports, compareHostPorts)
	return slices.Compact(ports)
}

// behind returns what a port of the host leads to: the container addresses and
// ports, in the order of the backends, and the networks that may connect. While
// backends of two releases serve, whom either lets in is let in.
func (s Service) behind(port hostPort) chain {
	c := chain{to: []netip.AddrPort{}}
	all := false
	for _, b := range s.Backends {
		ports := b.Ports
		if ports == nil {
			ports = s.Ports
		}
		i := slices.IndexFunc(ports, func(p Port) bool { return slices.Contains(p.published(), port) })
		if i < 0 {
			continue
		}
		c.to = append(c.to, netip.AddrPortFrom(b.Address, ports[i].To))
		c.from = append(c.from, ports[i].From...)
		all = all || len(ports[i].From) == 0
	}
	slices.SortFunc(c.from, netip.Prefix.Compare)
	c.from = slices.Compact(c.from)
	if all {
		c.from = nil
	}
	return c
}
