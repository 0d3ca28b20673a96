package network

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// hostPort is a port of the host, as a service publishes it.
type hostPort struct {
	Protocol string
	Address  string // an IPv4 address, or an interface with the addresses that it has; empty: all addresses
	Number   uint16
}

// String returns "tcp/80", or with an address "tcp/127.0.0.1/80".
func (p hostPort) String() string {
	number := strconv.Itoa(int(p.Number))
	if p.Address == "" {
		return p.Protocol + "/" + number
	}
	return p.Protocol + "/" + p.Address + "/" + number
}

func parsePort(s string) (hostPort, error) {
	parts := strings.Split(s, "/")
	address := ""
	if len(parts) == 3 {
		address = parts[1]
	}
	v, err := strconv.ParseUint(parts[len(parts)-1], 10, 16)
	if err != nil || len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && address == "" || parts[0] != "tcp" && parts[0] != "udp" {
		return hostPort{}, fmt.Errorf("%q is not a port", s)
	}
	return hostPort{parts[0], address, uint16(v)}, nil
}

func compareHostPorts(a, b hostPort) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Address, b.Address))
}

// listener is where a published port is in the kernel. A zero address is all of
// the host's.
type listener struct {
	Protocol string
	Address  netip.Addr
	Number   uint16
}

func (l listener) String() string {
	p := hostPort{Protocol: l.Protocol, Number: l.Number}
	if l.Address.IsValid() {
		p.Address = l.Address.String()
	}
	return p.String()
}

// loopback says whether processes of the host reach it at 127.0.0.1 or the like.
func (l listener) loopback() bool { return !l.Address.IsValid() || l.Address.IsLoopback() }

func (l listener) overlaps(o listener) bool {
	return l.Protocol == o.Protocol && l.Number == o.Number && (!l.Address.IsValid() || !o.Address.IsValid() || l.Address == o.Address)
}

// listeners returns where a published port is now: an interface has several
// addresses, or none.
func (s *state) listeners(p hostPort) []listener {
	if p.Address == "" {
		return []listener{{p.Protocol, netip.Addr{}, p.Number}}
	}
	if a, err := netip.ParseAddr(p.Address); err == nil {
		return []listener{{p.Protocol, a, p.Number}}
	}
	var list []listener
	for _, a := range s.interfaces[p.Address] {
		list = append(list, listener{p.Protocol, a, p.Number})
	}
	return list
}

// overlap says whether two published ports can't belong to two services.
func (s *state) overlap(p, q hostPort) bool {
	if p.Protocol != q.Protocol || p.Number != q.Number {
		return false
	}
	others := s.listeners(q)
	return p == q || slices.ContainsFunc(s.listeners(p), func(l listener) bool { return slices.ContainsFunc(others, l.overlaps) })
}

// usableInterfaces are those at which a port can be published.
func (s *state) usableInterfaces() []string {
	var names []string
	for name, addresses := range s.interfaces {
		if len(addresses) > 0 && !ownBridge.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// lookAddresses notes the IPv4 addresses of the host's interfaces, and says
// whether they are others than before: then the table must follow before anything
// else changes it. Where they can't be read, what was known stays.
func (n *Networks) lookAddresses() (changed bool) {
	found, err := interfaceAddresses()
	if err != nil {
		n.log.Error("looking for the addresses of the host", "error", err)
		return false
	}
	changed = !maps.EqualFunc(n.state.interfaces, found, slices.Equal)
	n.state.interfaces = found
	return changed
}

// followAddresses has ports that are published at interfaces be where those are
// now.
func (n *Networks) followAddresses() error {
	if !n.lookAddresses() {
		return nil
	}
	tx := n.begin()
	was, err := tx.readLayout()
	if err != nil || was.sameKeys(layoutOf(n.state)) {
		return err
	}
	if err := n.rebuild(tx, was); err != nil {
		return err
	}
	n.letGoUnused(n.state)
	n.holdReserved()
	return nil
}

func interfaceAddresses() (map[string][]netip.Addr, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	names := map[int]string{}
	found := map[string][]netip.Addr{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		found[l.Attrs().Name] = nil
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addresses {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok {
			found[names[a.LinkIndex]] = append(found[names[a.LinkIndex]], ip)
		}
	}
	for _, list := range found {
		slices.SortFunc(list, netip.Addr.Compare)
	}
	return found, nil
}

// watchAddresses has published ports follow the addresses of the host's
// interfaces, until ctx ends.
func (n *Networks) watchAddresses(ctx context.Context) error {
	done := make(chan struct{})
	defer close(done)
	updates := make(chan netlink.AddrUpdate)
	err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{
		ErrorCallback: func(err error) { n.log.Warn("watching the host's addresses", "error", err) },
	})
	if err != nil {
		return fmt.Errorf("watching the host's addresses: %w", err)
	}
	eachUpdate(ctx, updates, func(u netlink.AddrUpdate) {
		if u.LinkAddress.IP.To4() == nil {
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if err := n.followAddresses(); err != nil {
			n.log.Error("following the host's addresses", "error", err)
		}
	})
	return nil
}

// HostAddresses returns the addresses of the host at which a port is published
// now. The zero address of IPv4 is all of them.
func (n *Networks) HostAddresses(p Port) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []netip.Addr
	for _, port := range p.published() {
		for _, l := range n.state.listeners(port) {
			list = append(list, orDefault(l.Address, netip.IPv4Unspecified()))
		}
	}
	return list
}
