package inside

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// configureNetwork brings up what the lab put into the namespace. There is no
// default route: a packet to anywhere but the lab dies in the host.
func configureNetwork(c *Config) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	eth, err := netlink.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("eth0: %w", err)
	}
	addr, err := netlink.ParseAddr(c.Address)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(eth, addr); err != nil {
		return fmt.Errorf("adding %s: %w", c.Address, err)
	}
	return netlink.LinkSetUp(eth)
}
