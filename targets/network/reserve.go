package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// PortTakenError says that a port of the host is not to be had.
type PortTakenError struct {
	Protocol string
	Port     uint16
	Address  netip.Addr // zero is all of the host's
	Service  Key        // of dray, that has the port; zero if it is none
	Pid      int        // of the process that has it; 0 if that is not known
	Process  string     // its name
}

// Error names the port and who has it.
func (e *PortTakenError) Error() string {
	by := "another process"
	switch {
	case e.Service != Key{}:
		by = "service " + e.Service.Service + " of " + e.Service.Network
	case e.Pid != 0:
		by = fmt.Sprintf("%s (pid %d)", e.Process, e.Pid)
	}
	at := ""
	if e.Address.IsValid() {
		at = " at " + e.Address.String()
	}
	return fmt.Sprintf("port %d/%s%s is taken by %s", e.Port, e.Protocol, at, by)
}

// Reserve takes the published ports among ports for a service, until Release, Remove or Change.Remove: they are
// bound, and refuse connections until the service has backends. A port that
// another service of the network has is no error: it changes hands when the
// service is switched to. Reserve takes all or none, and fails with
// *PortTakenError.
func (n *Networks) Reserve(ctx context.Context, network, service string, ports []Port) error {
	owner := Key{network, service}
	n.mu.Lock()
	err := n.followAddresses()
	next := n.state.clone()
	if err == nil {
		err = n.claim(next, owner, Service{Ports: ports}.published(), false)
	}
	if err == nil {
		tx := n.begin()
		tx.follow(layoutOf(n.state), layoutOf(next))
		if err = tx.commit(); err != nil {
			n.letGoUnused(n.state)
		}
	}
	if err == nil {
		err = n.adopt(next)
	}
	n.mu.Unlock()
	if err == nil {
		err = n.finish(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("reserving ports of %s: %w", owner, err)
	}
	return nil
}

// Release forgets the services of a network that are not among keep, and gives
// back the ports that none of keep publishes.
func (n *Networks) Release(ctx context.Context, network string, keep []Service) error {
	kept := map[string]bool{}
	ports := map[string]bool{}
	for _, s := range keep {
		kept[s.Name] = true
		for _, p := range s.published() {
			ports[p.String()] = true
		}
	}
	n.mu.Lock()
	var c Change
	for _, s := range n.state.services() {
		if s.Network == network && !kept[s.Name] {
			c.Remove = append(c.Remove, s.Key())
		}
	}
	renamed, err := n.apply(c, func(port string, owner Key) bool { return owner.Network != network || ports[port] })
	n.mu.Unlock()
	if err == nil {
		err = n.finish(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("giving back ports of %s: %w", network, err)
	}
	n.announce(renamed)
	return nil
}

// publishes says whether a service has the port as one of its own.
func (s *state) publishes(k Key, port string) bool {
	return slices.ContainsFunc(s.Services[k.String()].published(), func(p hostPort) bool { return p.String() == port })
}

// claim binds the ports, and makes them the owner's in next. With take, the
// owner also gets those that another service of its network has. Where it
// fails, it lets go of what it bound.
func (n *Networks) claim(next *state, owner Key, ports []hostPort, take bool) error {
	for _, port := range ports {
		if err := n.claimPort(next, owner, port); err != nil {
			n.letGoUnused(n.state)
			return err
		}
		if _, taken := next.Reserved[port.String()]; !taken || take {
			next.Reserved[port.String()] = owner
		}
	}
	return nil
}

// claimPort binds a port, unless the owner's network has it already, at another
// address for one: then it is bound when that is given back.
func (n *Networks) claimPort(next *state, owner Key, port hostPort) error {
	at := next.listeners(port)
	if len(at) == 0 {
		return fmt.Errorf("publishing port %d/%s: this host has no interface %s with an IPv4 address; it has %s",
			port.Number, port.Protocol, port.Address, strings.Join(next.usableInterfaces(), ", "))
	}
	ours := false
	for name, has := range next.Reserved {
		other, err := parsePort(name)
		if err != nil || !next.overlap(port, other) {
			continue
		}
		if has.Network != owner.Network {
			return &PortTakenError{Protocol: port.Protocol, Port: port.Number, Address: at[0].Address, Service: has}
		}
		ours = true
	}
	for _, l := range at {
		if _, held := n.held[l]; held {
			continue
		}
		if err := n.hold(l); err != nil && !ours {
			return err
		}
	}
	return nil
}

// adopt makes next the state, and lets go of ports that nobody has in it.
func (n *Networks) adopt(next *state) error {
	n.state = next
	n.letGoUnused(next)
	n.holdReserved()
	n.openLoopback()
	return n.file.put(next)
}
