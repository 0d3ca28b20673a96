package network

import (
	"context"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A container reaches other hosts by the interface of a default route, whatever
// that is, and by the host's own network cards, VLANs, bonds and tunnels of
// WireGuard. Bridges and virtual interfaces are those of other programs'
// containers and machines: whether a container may reach them is for the host's
// own firewall to say.
var outwardTypes = []string{"device", "vlan", "bond", "team", "wireguard"}

// lookOutward notes which interfaces those are now. Where that can't be read,
// what was known stays.
func (n *Networks) lookOutward() {
	names, err := outwardInterfaces(n.bridgeNames())
	if err != nil {
		n.log.Error("looking for the interfaces to other hosts", "error", err)
		return
	}
	n.state.outward = names
}

func outwardInterfaces(own map[string]bool) ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil {
		return nil, fmt.Errorf("listing default routes: %w", err)
	}
	var names []string
	for _, l := range links {
		a := l.Attrs()
		byDefault := slices.ContainsFunc(routes, func(r netlink.Route) bool {
			return r.LinkIndex == a.Index || slices.ContainsFunc(r.MultiPath, func(h *netlink.NexthopInfo) bool { return h.LinkIndex == a.Index })
		})
		if !own[a.Name] && a.Name != "lo" && (byDefault || slices.Contains(outwardTypes, l.Type())) {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// watchRoutes has the rules looked at when a route of the host changes, until
// ctx ends.
func (n *Networks) watchRoutes(ctx context.Context) error {
	done := make(chan struct{})
	defer close(done)
	updates := make(chan netlink.RouteUpdate)
	err := netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{
		ErrorCallback: func(err error) { n.log.Warn("watching the host's routes", "error", err) },
	})
	if err != nil {
		return fmt.Errorf("watching the host's routes: %w", err)
	}
	eachUpdate(ctx, updates, func(u netlink.RouteUpdate) {
		if u.Family != unix.AF_INET || !isDefault(u.Route) {
			return
		}
		if _, err := n.repair(); err != nil {
			n.log.Error("following the host's routes", "error", err)
		}
	})
	return nil
}

// eachUpdate calls act for each update until ctx ends, or the kernel's news do: the
// next change of the rules looks at everything, too.
func eachUpdate[U any](ctx context.Context, updates <-chan U, act func(U)) {
	for {
		select {
		case <-ctx.Done():
			return
		case u, open := <-updates:
			if !open {
				return
			}
			act(u)
		}
	}
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}
