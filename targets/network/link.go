package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
)

// maxMTU is the largest MTU that interfaces of dray get.
const maxMTU = 1500

// makeBridge brings a network's bridge up with its address, made anew as far
// as it is missing.
func makeBridge(s *subnet) error {
	link, err := netlink.LinkByName(s.Bridge)
	if missingLink(err) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.Flags = s.Bridge, mtu(), net.FlagUp
		// Without a fixed one the bridge takes the lowest of its ports', and
		// changes it as they come and go.
		attrs.HardwareAddr = hardwareAddr(s.gateway())
		if err = netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err == nil || errors.Is(err, syscall.EEXIST) {
			link, err = netlink.LinkByName(s.Bridge)
		}
	}
	if err != nil {
		return fmt.Errorf("making bridge %s: %w", s.Bridge, err)
	}
	if err := setSysctls(
		sysctl{"net/ipv6/conf/" + s.Bridge + "/disable_ipv6", "1", true},    // no way around the rules by link-local addresses
		sysctl{"net/ipv4/conf/" + s.Bridge + "/rp_filter", "1", false},      // the table may be away: routing refuses forged senders too
		sysctl{"net/ipv4/conf/" + s.Bridge + "/src_valid_mark", "1", false}, // the way back is looked for with the mark of what is allowed
		sysctl{"net/ipv4/conf/" + s.Bridge + "/send_redirects", "0", false}, // there is no shorter way past the bridge
	); err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(s.gateway(), s.Prefix.Bits()))}
	others, err := netlink.AddrList(link, netlink.FAMILY_V4)
	for _, a := range others {
		if err == nil && !a.Equal(*address) {
			err = netlink.AddrDel(link, &a) // of a network of that name that was forgotten
		}
	}
	if err != nil {
		return fmt.Errorf("clearing the addresses of bridge %s: %w", s.Bridge, err)
	}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("giving %v to bridge %s: %w", address.IPNet, s.Bridge, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing bridge %s up: %w", s.Bridge, err)
	}
	return nil
}

// hardwareAddr is a locally administered address made of an IPv4 one.
func hardwareAddr(a netip.Addr) net.HardwareAddr {
	ip := a.As4()
	return net.HardwareAddr{0x0a, 0xd7, ip[0], ip[1], ip[2], ip[3]}
}

// mtu is that of the interface with the default route, if it is smaller than
// maxMTU: tunnels and clouds have such.
func mtu() int {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		return maxMTU // a guess that is right nearly everywhere
	}
	for _, r := range routes {
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil && link.Attrs().MTU > 0 {
			return min(maxMTU, link.Attrs().MTU)
		}
	}
	return maxMTU
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func missingLink(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}

// removeLink deletes an interface, if there is one.
func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err == nil || missingLink(err) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return fmt.Errorf("removing interface %s: %w", name, err)
}

// sysctl is a kernel parameter of the network namespace of the thread.
type sysctl struct {
	name     string // path below /proc/sys
	value    string
	optional bool // a kernel without it is fine
}

// setSysctls writes the parameters that have another value.
func setSysctls(list ...sysctl) error {
	for _, s := range list {
		path := "/proc/sys/" + s.name
		now, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && s.optional {
			continue
		}
		if err == nil && len(now) > 0 && string(now[:len(now)-1]) == s.value {
			continue
		}
		if err == nil {
			err = os.WriteFile(path, []byte(s.value), 0o644)
		}
		if errors.Is(err, syscall.EROFS) {
			return fmt.Errorf("setting %s to %s: /proc/sys is read-only here; set it on the host, or give this environment a writable /proc/sys: %w", s.name, s.value, err)
		}
		if err != nil {
			return fmt.Errorf("setting %s to %s: %w", s.name, s.value, err)
		}
	}
	return nil
}

// allowForwarding lets the host pass packets on between interfaces. Redirects
// are sent where "all" or the interface says so; with "all" off each interface
// decides, and only dray's bridges say no.
func allowForwarding() error {
	return setSysctls(
		sysctl{"net/ipv4/ip_forward", "1", false},
		sysctl{"net/ipv4/conf/all/send_redirects", "0", false},
	)
}
