package pipeline

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Everywhere is the address of a port that is published on all addresses of its
// host. In a Port it is the same as none.
const Everywhere = "*"

// Overlaps says whether two ports can't be published on one host together. Of
// an interface and an address it says no: only the host knows.
func (p Port) Overlaps(o Port) bool {
	if p.Publish == 0 || p.Publish != o.Publish || p.Protocol != o.Protocol {
		return false
	}
	return len(p.Address) == 0 || len(o.Address) == 0 ||
		slices.ContainsFunc(p.Address, func(a string) bool { return slices.Contains(o.Address, a) })
}

// Published returns what a person calls a published port: "80/tcp", or
// "127.0.0.1:80/tcp".
func (p Port) Published() string {
	port := fmt.Sprintf("%d/%s", p.Publish, p.Protocol)
	if len(p.Address) == 0 {
		return port
	}
	return strings.Join(p.Address, ",") + ":" + port
}

// Outside returns the addresses on which other hosts may reach a published
// port: all but those of the loopback.
func (p Port) Outside() []string {
	switch {
	case p.Publish == 0:
		return nil
	case len(p.Address) == 0:
		return []string{Everywhere}
	}
	return slices.DeleteFunc(slices.Clone(p.Address), isLoopback)
}

func isLoopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return address == "lo" || err == nil && a.IsLoopback()
}

// interfaceName is what Linux allows and people write.
var interfaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)

// ParsePortAddress returns an address of Port.Address as it is kept: an IPv4
// address, the name of an interface, or Everywhere.
func ParsePortAddress(s string) (string, error) {
	if s == Everywhere {
		return s, nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	switch {
	case err == nil && a.Is4() && a.IsUnspecified():
		return Everywhere, nil
	case err == nil && a.Is4() && (a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})):
		return "", fmt.Errorf("%q is no address of a host", s)
	case err == nil && a.Is4():
		return a.String(), nil
	case err == nil:
		return "", fmt.Errorf("%q is an IPv6 address; ports are published on IPv4 addresses", s)
	case s == "localhost":
		return "", fmt.Errorf("%q is a name; write 127.0.0.1", s)
	case strings.Contains(s, "/"):
		return "", fmt.Errorf("%q is a network; address says where the port is, from says who may connect", s)
	case !interfaceName.MatchString(s) || dotted.MatchString(s):
		return "", fmt.Errorf(`%q is neither an IPv4 address nor the name of an interface nor "*"`, s)
	}
	return s, nil
}

// dotted is what somebody meant as an address.
var dotted = regexp.MustCompile(`^[0-9.]+$`)

// ParsePortSource returns a network of Port.From as it is kept: "10.0.0.0/8". A
// single address is a network of one.
func ParsePortSource(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		s = netip.PrefixFrom(a, a.BitLen()).String()
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return "", fmt.Errorf(`%q is not a network; write it like "10.0.0.0/8", or a single address`, s)
	case !p.Addr().Is4():
		return "", fmt.Errorf("%q is an IPv6 network; ports are published on IPv4 addresses", s)
	case p != p.Masked():
		return "", fmt.Errorf("%q has bits beside the network; write %s, or the address alone", s, p.Masked())
	}
	return p.String(), nil
}
