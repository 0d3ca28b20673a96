package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The way to a container's address is closed by the host's routing, and opened
// by the mark that the table gives what it allows. So a table that somebody has
// flushed opens nothing, whether the agent is there to put it back or not:
//
//	priority 90   marked                 → the host's own routes
//	         91   from 127.0.0.0/8       → table 3450: each network is a black hole
//	         92   not sent by this host  → the same
//
// The second rule also keeps what containers send to 127.0.0.1 out: the kernel
// looks for the way back first, and finds none.
const (
	closedTable     = 3450
	markedPriority  = 90
	loopPriority    = 91
	arrivedPriority = 92
)

// closeRoutes has the black holes of these networks exist and no others, and
// the rules as long as there are any.
func closeRoutes(networks []netip.Prefix) error {
	for _, r := range routingRules() {
		err := netlink.RuleAdd(r)
		if len(networks) == 0 && (err == nil || errors.Is(err, unix.EEXIST)) {
			err = netlink.RuleDel(r)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("setting routing rule %d: %w", r.Priority, err)
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: closedTable}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("reading routing table %d: %w", closedTable, err)
	}
	closed := map[netip.Prefix]bool{}
	for _, r := range routes {
		p, ok := destinationOf(r)
		if ok && slices.Contains(networks, p) {
			closed[p] = true
		} else if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("removing %v from routing table %d: %w", r.Dst, closedTable, err)
		}
	}
	for _, p := range networks {
		if closed[p] {
			continue
		}
		if err := netlink.RouteReplace(blackHole(p)); err != nil {
			return fmt.Errorf("adding %v to routing table %d: %w", p, closedTable, err)
		}
	}
	return nil
}

func destinationOf(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil {
		return netip.Prefix{}, false
	}
	return prefixOf(r.Dst.IP, r.Dst.Mask)
}

func blackHole(p netip.Prefix) *netlink.Route {
	return &netlink.Route{Table: closedTable, Type: unix.RTN_BLACKHOLE, Dst: ipNet(p)}
}

func routingRules() []*netlink.Rule {
	rule := func(priority, table int) *netlink.Rule {
		r := netlink.NewRule()
		r.Family, r.Priority, r.Table = netlink.FAMILY_V4, priority, table
		return r
	}
	mask := uint32(markMask)
	marked := rule(markedPriority, unix.RT_TABLE_MAIN)
	marked.Mark, marked.Mask = mark, &mask
	loop := rule(loopPriority, closedTable)
	loop.Src = &net.IPNet{IP: net.IPv4(127, 0, 0, 0), Mask: net.CIDRMask(8, 32)}
	arrived := rule(arrivedPriority, closedTable)
	arrived.IifName, arrived.Invert = "lo", true
	return []*netlink.Rule{marked, loop, arrived}
}

// closeNetworks brings the host's routing to the networks of the state. Where
// that fails the table alone keeps them apart, and Run tries again.
func (n *Networks) closeNetworks() {
	var networks []netip.Prefix
	for _, s := range n.state.Networks {
		networks = append(networks, s.Prefix)
	}
	if err := closeRoutes(networks); err != nil {
		n.log.Error("closing the host's routes to containers; its firewall rules alone keep networks apart", "error", err)
	}
}

// openLoopback lets processes of this host reach published ports at 127.0.0.1:
// at the bridges of networks that have such a port, and at no others.
func (n *Networks) openLoopback() {
	wanted := map[string]string{}
	for name := range n.state.Networks {
		wanted[name] = "0"
	}
	for name, owner := range n.state.Reserved {
		port, err := parsePort(name)
		if err == nil && slices.ContainsFunc(n.state.listeners(port), listener.loopback) {
			wanted[owner.Network] = "1"
		}
	}
	for name, s := range n.state.Networks {
		if err := setSysctls(sysctl{"net/ipv4/conf/" + s.Bridge + "/route_localnet", wanted[name], true}); err != nil {
			n.log.Error("letting this host reach published ports at 127.0.0.1, or not", "network", name, "error", err)
		}
	}
}
