package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/vishvananda/netlink"
)

// recover brings the kernel to the state.
func (n *Networks) recover() error {
	if err := allowForwarding(); err != nil {
		return err
	}
	if !n.state.VIPs.IsValid() {
		used, err := occupied(n.bridgeNames())
		if err != nil {
			return err
		}
		n.state.VIPs = freeRange(append([]netip.Prefix{n.config.VIPs}, spareVIPs...), used)
	}
	if err := n.sweep(); err != nil {
		n.log.Error("removing what no network has", "error", err)
	}
	n.makeBridges()
	n.lookOutward()
	n.lookAddresses()
	tx := n.begin()
	was, err := tx.readLayout()
	if err != nil {
		return err
	}
	if err := n.rebuild(tx, was); err != nil {
		return err
	}
	n.openLoopback()
	n.holdReserved()
	n.passForeignFirewall()
	return nil
}

// makeBridges has the bridge of every network exist, and says whether they do.
// One that can't be made keeps only its own network down: Verify and Attach
// tell why, and Run tries again.
func (n *Networks) makeBridges() (whole bool) {
	whole = true
	for _, name := range slices.Sorted(maps.Keys(n.state.Networks)) {
		if err := makeBridge(n.state.Networks[name]); err != nil {
			n.log.Error("a network has no bridge; it is tried again", "network", name, "error", err)
			whole = false
		}
	}
	return whole
}

// sweep removes the bridges and namespaces of dray that the state does not
// know: the agent died between making them and noting it.
func (n *Networks) sweep() error {
	known := n.bridgeNames()
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		name := l.Attrs().Name
		if l.Type() == "bridge" && ownBridge.MatchString(name) && !known[name] {
			err = errors.Join(err, removeLink(name))
		}
	}
	spaces, readErr := os.ReadDir(n.config.RunDir)
	err = errors.Join(err, readErr)
	for _, f := range spaces {
		if _, s := n.state.owner(f.Name()); s == nil {
			err = errors.Join(err, disconnect(filepath.Join(n.config.RunDir, f.Name()), f.Name()))
		}
	}
	return err
}

var ownBridge = regexp.MustCompile("^" + bridgePrefix + "[0-9a-f]{8}$")

// freeRange returns the first range that overlaps nothing used, or the first.
func freeRange(ranges, used []netip.Prefix) netip.Prefix {
	for _, r := range ranges {
		if _, taken := overlapping(r, used); !taken {
			return r
		}
	}
	return ranges[0]
}

func (n *Networks) bridgeNames() map[string]bool {
	names := map[string]bool{}
	for _, s := range n.state.Networks {
		names[s.Bridge] = true
	}
	return names
}
