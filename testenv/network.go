package testenv

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	subnets   = 256
	firstHost = 11
	maxHosts  = 200
)

// lastResort is the metric of the unreachable route: higher than any other's.
const lastResort = 4278198272

func bridgeName(subnet int) string { return fmt.Sprintf("draylab%d", subnet) }

func cableName(subnet, number int) string { return fmt.Sprintf("dlab%dh%d", subnet, number) }

func subnetOf(n int) *net.IPNet {
	return &net.IPNet{IP: net.IPv4(10, 210, byte(n), 0).To4(), Mask: net.CIDRMask(24, 32)}
}

// A bridge's alias is the folder of its lab, so that a lab is found by its
// bridge, wherever its folder is.

// bridged finds the folders of the labs that have a bridge.
func bridged() ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	var dirs []string
	for _, l := range links {
		if a := l.Attrs(); strings.HasPrefix(a.Name, "draylab") && filepath.IsAbs(a.Alias) {
			dirs = append(dirs, a.Alias)
		}
	}
	return dirs, nil
}

// makeBridge makes the bridge of the first subnet that is free. Making the
// link is what claims the number: the kernel lets only one process do it.
func makeBridge(dir string) (subnet int, err error) {
	for n := range subnets {
		if taken, err := inUse(subnetOf(n)); err != nil {
			return -1, err
		} else if taken {
			continue
		}
		err := addBridge(dir, n)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return -1, errors.Join(err, removeBridge(dir, n))
		}
		return n, nil
	}
	return -1, errors.New("no 10.210.N.0/24 is free")
}

// inUse tells if a route, the lab's or a foreign one, leads into the subnet.
func inUse(subnet *net.IPNet) (bool, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return false, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			continue
		}
		if r.Dst.Contains(subnet.IP) || subnet.Contains(r.Dst.IP) {
			return true, nil
		}
	}
	return false, nil
}

func addBridge(dir string, n int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName(n)
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	if err := netlink.LinkSetAlias(bridge, dir); err != nil {
		return err
	}
	if err := quiet(attrs.Name); err != nil {
		return err
	}
	if err := netlink.RouteReplace(unreachable(n)); err != nil {
		return fmt.Errorf("adding the unreachable route: %w", err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 210, byte(n), 1), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(bridge, addr); err != nil {
		return fmt.Errorf("adding the bridge's address: %w", err)
	}
	return netlink.LinkSetUp(bridge)
}

// quiet keeps the link from speaking IPv6 by itself, and from handing packets
// on, even where the machine forwards.
func quiet(link string) error {
	for path, value := range map[string]string{
		"/proc/sys/net/ipv6/conf/" + link + "/disable_ipv6": "1",
		"/proc/sys/net/ipv4/conf/" + link + "/forwarding":   "0",
	} {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func unreachable(n int) *netlink.Route {
	return &netlink.Route{Dst: subnetOf(n), Type: unix.RTN_UNREACHABLE, Priority: lastResort}
}

// keepBridge makes a lab's bridge again if it is gone.
func keepBridge(dir string, n int) error {
	link, err := netlink.LinkByName(bridgeName(n))
	if err == nil {
		if link.Attrs().Alias != dir {
			return fmt.Errorf("%s is another lab's: take this one down and up again", bridgeName(n))
		}
		return nil
	}
	if err := addBridge(dir, n); err != nil {
		return fmt.Errorf("making the bridge again: %w", err)
	}
	return nil
}

// removeBridge removes the bridge, if it is this lab's, and then the route.
func removeBridge(dir string, n int) error {
	link, err := netlink.LinkByName(bridgeName(n))
	if err == nil {
		if link.Attrs().Alias != dir {
			return nil
		}
		err = netlink.LinkDel(link)
	}
	var gone netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &gone) {
		return fmt.Errorf("removing %s: %w", bridgeName(n), err)
	}
	if err := netlink.RouteDel(unreachable(n)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("removing the unreachable route: %w", err)
	}
	return nil
}

// plug lays the host's cable: one end on the bridge, the other eth0 in the
// network namespace of pid.
func (h *Host) plug(pid int) error {
	if err := h.unplug(); err != nil {
		return err
	}
	n := h.lab.state.Subnet
	bridge, err := netlink.LinkByName(bridgeName(n))
	if err != nil {
		return fmt.Errorf("finding %s: %w", bridgeName(n), err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = h.cable()
	attrs.MasterIndex = bridge.Attrs().Index
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsPid(pid),
		// The same at each boot, as a network card's is: neighbours remember it.
		PeerHardwareAddr: net.HardwareAddr{0x02, 0xd7, 10, 210, byte(n), byte(h.state.Number)},
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("adding %s: %w", h.cable(), err)
	}
	if err := quiet(h.cable()); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return fmt.Errorf("raising %s: %w", h.cable(), err)
	}
	return nil
}

// unplug takes the cable away; that it is gone already is no error.
func (h *Host) unplug() error {
	var gone netlink.LinkNotFoundError
	link, err := netlink.LinkByName(h.cable())
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.As(err, &gone) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing %s: %w", h.cable(), err)
	}
	return nil
}

func (h *Host) cable() string { return cableName(h.lab.state.Subnet, h.state.Number) }

// Cut unplugs the host's network cable: the host loses its carrier, and what
// is sent to it or by it vanishes. Connections stay open until they time out.
func (h *Host) Cut() error {
	return h.setCable(netlink.LinkSetDown)
}

// Restore plugs the cable in again.
func (h *Host) Restore() error {
	return h.setCable(netlink.LinkSetUp)
}

func (h *Host) setCable(set func(netlink.Link) error) error {
	link, err := netlink.LinkByName(h.cable())
	if err == nil {
		err = set(link)
	}
	if err != nil {
		return fmt.Errorf("the cable of host %s: %w", h.Name, err)
	}
	return nil
}
