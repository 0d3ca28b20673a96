package network

import (
	"cmp"
	"net/netip"
	"slices"
)

// Port is a port of a service.
type Port struct {
	Protocol string `json:"protocol"`          // "tcp" or "udp"
	To       uint16 `json:"to"`                // in the container
	Publish  uint16 `json:"publish,omitempty"` // on the host's addresses; 0 is not published
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

// hostPort is a port of the host.
type hostPort struct {
	Protocol string
	Number   uint16
}

func compareHostPorts(a, b hostPort) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
}

// published returns the ports of the host that the service has, sorted, those
// of its backends included.
func (s Service) published() []hostPort {
	var ports []hostPort
	add := func(of []Port) {
		for _, p := range of {
			if p.Publish != 0 {
				ports = append(ports, hostPort{p.Protocol, p.Publish})
			}
		}
	}
	add(s.Ports)
	for _, b := range s.Backends {
		add(b.Ports)
	}
	slices.SortFunc(ports, compareHostPorts)
	return slices.Compact(ports)
}

// behind returns the container addresses and ports that a port of the host
// leads to, in the order of the backends.
func (s Service) behind(port hostPort) []netip.AddrPort {
	var to []netip.AddrPort
	for _, b := range s.Backends {
		ports := b.Ports
		if ports == nil {
			ports = s.Ports
		}
		for _, p := range ports {
			if p.Protocol == port.Protocol && p.Publish == port.Number {
				to = append(to, netip.AddrPortFrom(b.Address, p.To))
				break
			}
		}
	}
	return to
}
