package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
)

// Verify reads back what the kernel does for a network: its bridge's address,
// its containers' addresses, and for each of its services where new connections
// to its address and to its published ports go. What differs from the state is
// put right once; the error names what differs still.
func (n *Networks) Verify(network string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	differs, err := n.compare(network)
	if err != nil || differs == nil {
		return err
	}
	n.log.Warn("the kernel does not do what it was told; telling it again", "network", network, "error", differs)
	tx := n.begin()
	was, err := tx.readLayout()
	if err == nil {
		err = n.rebuild(tx, was)
	}
	if err != nil {
		return fmt.Errorf("bringing the rules of network %s back: %w", network, err)
	}
	if differs, err = n.compare(network); err != nil {
		return err
	}
	return differs
}

// compare returns as its first result what differs between the kernel and the
// state in what concerns a network.
func (n *Networks) compare(network string) (differs, err error) {
	tx := n.begin()
	has, err := tx.readLayout()
	if err != nil {
		return nil, err
	}
	wanted := layoutOf(n.state)
	s, exists := n.state.Networks[network]
	if !exists {
		return nil, nil
	}
	faults := []error{compareBridge(s)}
	for _, a := range s.Addresses {
		if !has.addresses[a] {
			faults = append(faults, fmt.Errorf("the address %v of a container is not known to the rules", a))
		}
	}
	for port, owner := range n.state.Reserved {
		p, err := parsePort(port)
		if err != nil || owner.Network != network {
			continue
		}
		for _, at := range n.state.listeners(p) {
			if !has.ports[at] {
				faults = append(faults, fmt.Errorf("port %s of service %s is not held", port, owner.Service))
			}
		}
	}
	for _, svc := range n.state.services() {
		if svc.Network != network {
			continue
		}
		fault, err := tx.compareService(svc, has, wanted)
		if err != nil {
			return nil, err
		}
		faults = append(faults, fault)
	}
	for port, chain := range has.published {
		if wanted.published[port] == "" && n.ownsChain(network, chain) {
			faults = append(faults, fmt.Errorf("port %v still leads to %s", port, chain))
		}
	}
	return errors.Join(faults...), nil
}

// ownsChain tells whether a chain is one of a network's services.
func (n *Networks) ownsChain(network, chain string) bool {
	for _, svc := range n.state.services() {
		if name := svc.Key().String(); svc.Network == network && len(chain) > len(name) && chain[:len(name)+1] == name+"/" {
			return true
		}
	}
	return false
}

func compareBridge(s *subnet) error {
	link, err := netlink.LinkByName(s.Bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", s.Bridge, err)
	}
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("reading the addresses of bridge %s: %w", s.Bridge, err)
	}
	wanted := netlink.Addr{IPNet: ipNet(netip.PrefixFrom(s.gateway(), s.Prefix.Bits()))}
	if !slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.Equal(wanted) }) {
		return fmt.Errorf("bridge %s does not have the address %v", s.Bridge, wanted.IPNet)
	}
	return nil
}

// compareService compares where a service's address and ports lead.
func (tx *transaction) compareService(svc Service, has, wanted layout) (differs, err error) {
	name := svc.Key().String()
	if has.services[svc.Address] != name {
		return fmt.Errorf("the address %v of service %s leads to %q", svc.Address, svc.Name, has.services[svc.Address]), nil
	}
	chains := []string{name}
	for port, of := range wanted.published {
		if !strings.HasPrefix(of, name+"/") {
			continue
		}
		if has.published[port] != of {
			return fmt.Errorf("port %v of service %s leads to %q", port, svc.Name, has.published[port]), nil
		}
		chains = append(chains, of)
	}
	for _, name := range chains {
		does, err := tx.readChain(name)
		if err != nil {
			return nil, err
		}
		if should := wanted.chains[name]; !does.equal(should) {
			return fmt.Errorf("connections to %s go to %v, from %v, not to %v, from %v", name, does.to, does.from, should.to, should.from), nil
		}
	}
	return nil, nil
}

// readChain reads what a chain of a service does.
func (tx *transaction) readChain(name string) (chain, error) {
	rules, err := tx.conn.GetRules(tx.t, &nftables.Chain{Name: name, Table: tx.t})
	if err != nil {
		return chain{}, fmt.Errorf("reading chain %s: %w", name, err)
	}
	c := chain{to: []netip.AddrPort{}}
	for _, r := range rules {
		if from := clientsOf(r.Exprs); from != nil {
			c.from = from
			continue
		}
		c.to = append(c.to, targetOf(r.Exprs))
	}
	return c, nil
}

// targetOf reads where a rule of translate leads connections.
func targetOf(exprs []expr.Any) netip.AddrPort {
	var address netip.Addr
	var port uint16
	for _, e := range exprs {
		load, isLoad := e.(*expr.Immediate)
		switch {
		case isLoad && len(load.Data) == v4Len:
			address = addressOf(load.Data)
		case isLoad && len(load.Data) == 2:
			port = uint16(load.Data[0])<<8 | uint16(load.Data[1])
		}
	}
	return netip.AddrPortFrom(address, port)
}

// clientsOf reads the networks of a rule of leaveOthers; nil is another rule.
func clientsOf(exprs []expr.Any) []netip.Prefix {
	var from []netip.Prefix
	bits := 0
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Bitwise:
			bits, _ = net.IPMask(e.Mask).Size()
		case *expr.Cmp:
			from = append(from, netip.PrefixFrom(addressOf(e.Data), bits))
		case *expr.Verdict:
			if e.Kind == expr.VerdictReturn {
				return from
			}
		}
	}
	return nil
}
