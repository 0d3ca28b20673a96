package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Defaults of Config, and what is tried when the host already uses them.
var (
	DefaultPool = netip.MustParsePrefix("10.209.0.0/16")
	DefaultVIPs = netip.MustParsePrefix("10.208.0.0/16")

	spareSubnets = []netip.Prefix{netip.MustParsePrefix("172.29.0.0/16"), netip.MustParsePrefix("192.168.224.0/19")}
	spareVIPs    = []netip.Prefix{netip.MustParsePrefix("172.28.0.0/16"), netip.MustParsePrefix("198.18.0.0/16")}
)

// subnetBits is the length of the prefix of one network.
const subnetBits = 24

// ErrNoAddress says that a network, or the pool of networks, has no free
// address.
var ErrNoAddress = errors.New("no free address")

// occupied returns the prefixes that the host reaches by a route of its own,
// or has an address in. Default routes are left out, and so is what belongs
// to the bridges named in own.
func occupied(own map[string]bool) ([]netip.Prefix, error) {
	ours := map[int]bool{}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		if own[l.Attrs().Name] {
			ours[l.Attrs().Index] = true
		}
	}
	var used []netip.Prefix
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil || ours[r.LinkIndex] {
			continue
		}
		if p, ok := prefixOf(r.Dst.IP, r.Dst.Mask); ok && p.Bits() > 0 {
			used = append(used, p)
		}
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addresses {
		if ours[a.LinkIndex] {
			continue
		}
		if p, ok := prefixOf(a.IP, a.Mask); ok {
			used = append(used, p)
		}
	}
	return used, nil
}

func prefixOf(ip, mask []byte) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Prefix{}, false
	}
	ones := 0
	for _, b := range mask {
		for ; b != 0; b <<= 1 {
			ones++
		}
	}
	p, err := addr.Unmap().Prefix(ones)
	return p, err == nil
}

// freeSubnet picks the first subnet of the pools that overlaps nothing used.
func freeSubnet(pools, used []netip.Prefix) (netip.Prefix, error) {
	var blocked netip.Prefix
	for _, pool := range pools {
		for p := netip.PrefixFrom(pool.Addr(), max(subnetBits, pool.Bits())); pool.Contains(p.Addr()); p = nextPrefix(p) {
			by, taken := overlapping(p, used)
			if !taken {
				return p, nil
			}
			blocked = by
		}
	}
	return netip.Prefix{}, fmt.Errorf("choosing a subnet in %v: the host's routes cover them (%v, for one): %w", pools, blocked, ErrNoAddress)
}

func overlapping(p netip.Prefix, used []netip.Prefix) (netip.Prefix, bool) {
	for _, u := range used {
		if u.Overlaps(p) {
			return u, true
		}
	}
	return netip.Prefix{}, false
}

// nextPrefix returns the prefix of the same length that follows.
func nextPrefix(p netip.Prefix) netip.Prefix {
	a := p.Addr().As4()
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	n += 1 << (32 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), p.Bits())
}

// allocate gives a container its address: the one that it has, or the next
// free one of the subnet.
func (s *subnet) allocate(containerID string) (netip.Addr, error) {
	if a, ok := s.Addresses[containerID]; ok {
		return a, nil
	}
	taken := map[netip.Addr]bool{}
	for _, a := range s.Addresses {
		taken[a] = true
	}
	a, err := nextFree(s.Prefix, s.Next, func(a netip.Addr) bool { return taken[a] || a == s.gateway() })
	if err != nil {
		return a, err
	}
	s.Addresses[containerID] = a
	s.Next = a.Next()
	return a, nil
}

// nextFree returns the first address of the prefix, from start on and around,
// that is not taken. The network's and the broadcast address are never given.
func nextFree(p netip.Prefix, start netip.Addr, taken func(netip.Addr) bool) (netip.Addr, error) {
	first := p.Addr().Next()
	if !start.IsValid() || !p.Contains(start) || start == p.Addr() {
		start = first
	}
	for a := start; ; {
		last := !p.Contains(a.Next())
		if !last && !taken(a) {
			return a, nil
		}
		if a = a.Next(); last {
			a = first
		}
		if a == start {
			return netip.Addr{}, fmt.Errorf("allocating in %v: %w", p, ErrNoAddress)
		}
	}
}
