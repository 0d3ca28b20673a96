package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// OpenPort is a published port that other hosts reach, and that leads to a
// container now.
type OpenPort struct {
	Service  Key
	Protocol string
	Number   uint16
	Address  netip.Addr     // zero is every address of the host
	From     []netip.Prefix // who may connect; none is everybody
}

// OpenPorts returns what other hosts reach, sorted by port. The host's own
// firewall judges what comes to the host itself; these ports are translated
// before, and pass it.
func (n *Networks) OpenPorts() []OpenPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []OpenPort
	for _, svc := range n.state.services() {
		for _, port := range svc.published() {
			c := svc.behind(port)
			if len(c.to) == 0 || n.state.Reserved[port.String()] != svc.Key() {
				continue
			}
			for _, l := range n.state.listeners(port) {
				if !l.Address.IsLoopback() {
					list = append(list, OpenPort{svc.Key(), l.Protocol, l.Number, l.Address, c.from})
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b OpenPort) int {
		return compareHostPorts(hostPort{a.Protocol, a.Address.String(), a.Number}, hostPort{b.Protocol, b.Address.String(), b.Number})
	})
	return list
}

// Firewall names what keeps others from ports of the host itself, as far as
// nftables shows it: ufw, firewalld, or the chain of a table that drops what comes
// in. It is empty where there is none.
func (n *Networks) Firewall() (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all, err := n.conn.ListChainsOfTableFamily(nftables.TableFamilyUnspecified)
	if err != nil {
		return "", fmt.Errorf("reading the chains of the host: %w", err)
	}
	found := ""
	for _, c := range all {
		switch {
		case !seesIPv4(c) || c.Table.Name == tableName:
		case strings.HasPrefix(c.Name, "ufw-"):
			return "ufw", nil
		case c.Table.Name == "firewalld":
			return "firewalld", nil
		case c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookInput && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop:
			found = fmt.Sprintf("chain %s of table %s", c.Name, c.Table.Name)
		}
	}
	return found, nil
}
