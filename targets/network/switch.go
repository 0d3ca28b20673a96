package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// Change is what one Switch does. Services in Set replace what was there under
// their key; Address is ignored. A port that a service had before stays held
// for it, so that it can have it back, and refuses connections. Services in
// Remove are forgotten, and their ports given back.
type Change struct {
	Set    []Service
	Remove []Key
}

// Switch makes new connections go to other containers, for any number of
// services in one transaction of the kernel: a packet meets all of it or none.
// Connections and UDP flows that exist stay with their containers. It fails
// with *PortTakenError, and changes nothing, where a port that is new to a
// service is not to be had.
func (n *Networks) Switch(ctx context.Context, c Change) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("switching: %w", err)
	}
	n.mu.Lock()
	renamed, err := n.apply(c, keepAll)
	n.mu.Unlock()
	if err == nil {
		err = n.finish(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("switching: %w", err)
	}
	n.announce(renamed)
	return nil
}

// Ensure has a network exist, with its bridge, before anything is attached.
func (n *Networks) Ensure(ctx context.Context, network string) error {
	n.mu.Lock()
	_, err := n.subnetOf(network)
	if err == nil {
		err = n.file.put(n.state)
	}
	n.mu.Unlock()
	if err == nil {
		err = n.finish(ctx)
	}
	if err != nil {
		return fmt.Errorf("making network %s: %w", network, err)
	}
	return nil
}

// Remove takes a network away, with its services and ports. As long as
// containers are attached its bridge stays for them.
func (n *Networks) Remove(ctx context.Context, network string) error {
	if err := n.Release(ctx, network, nil); err != nil {
		return err
	}
	n.mu.Lock()
	err := n.dropIfUnused(network)
	if err == nil {
		err = n.file.put(n.state)
	}
	n.mu.Unlock()
	if err == nil {
		err = n.finish(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("removing network %s: %w", network, err)
	}
	return nil
}

// Declare gives services a name and an address before anything serves them.
// Those that exist stay as they are.
func (n *Networks) Declare(ctx context.Context, network string, names ...string) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("declaring services: %w", err)
	}
	n.mu.Lock()
	var c Change
	for _, name := range names {
		k := Key{network, name}
		if _, ok := n.state.Services[k.String()]; !ok {
			c.Set = append(c.Set, Service{Network: network, Name: name})
		}
	}
	var renamed []string
	var err error
	if len(c.Set) > 0 {
		renamed, err = n.apply(c, keepAll)
	}
	n.mu.Unlock()
	if err == nil {
		err = n.finish(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("declaring services of %s: %w", network, err)
	}
	n.announce(renamed)
	return nil
}

func (n *Networks) announce(networks []string) {
	if n.config.Changed == nil {
		return
	}
	for _, network := range networks {
		n.config.Changed(network)
	}
}

// pair is a service before and after a change; one of them may be zero.
type pair struct{ was, is Service }

// apply does a change: ports first, then the kernel, then the state. It keeps
// the reservations that keep says, and returns the networks whose names
// changed.
func (n *Networks) apply(c Change, keep func(port string, owner Key) bool) ([]string, error) {
	pairs, err := n.pairs(c)
	if err != nil {
		return nil, err
	}
	next, err := n.after(pairs, keep)
	if err != nil {
		return nil, err
	}
	tx := n.begin()
	tx.follow(layoutOf(n.state), layoutOf(next))
	if err := tx.commit(); err != nil {
		n.letGoUnused(n.state)
		return nil, err
	}
	return n.settle(next, pairs)
}

func keepAll(string, Key) bool { return true }

// pairs puts each service beside what it was, and gives new ones an address.
func (n *Networks) pairs(c Change) ([]pair, error) {
	var list []pair
	given := map[netip.Addr]bool{}
	for _, s := range n.state.Services {
		given[s.Address] = true
	}
	for _, s := range c.Set {
		was := n.state.Services[s.Key().String()]
		s.Address = was.Address
		if !s.Address.IsValid() {
			a, err := nextFree(n.state.VIPs, n.state.NextVIP, func(a netip.Addr) bool { return given[a] })
			if err != nil {
				return nil, fmt.Errorf("finding an address for %s: %w", s.Key(), err)
			}
			given[a], n.state.NextVIP, s.Address = true, a.Next(), a
		}
		list = append(list, pair{was, s})
	}
	for _, k := range c.Remove {
		if was, ok := n.state.Services[k.String()]; ok {
			list = append(list, pair{was: was})
		}
	}
	return list, nil
}

// after returns the state with the pairs applied. Ports that are new to it are
// bound already. Those of a service that is removed go to another service of
// its network that publishes them, or to nobody.
func (n *Networks) after(pairs []pair, keep func(port string, owner Key) bool) (*state, error) {
	next := n.state.clone()
	gone := map[Key]bool{}
	for _, p := range pairs {
		if p.is.Name == "" {
			delete(next.Services, p.was.Key().String())
			gone[p.was.Key()] = true
		} else {
			next.Services[p.is.Key().String()] = p.is
		}
	}
	for port, owner := range next.Reserved {
		if gone[owner] || !keep(port, owner) {
			delete(next.Reserved, port)
			next.bequeath(port, owner.Network)
		}
	}
	for _, p := range pairs {
		if err := n.claim(next, p.is.Key(), p.is.published(), true); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// bequeath gives a port to a service of the network that publishes it, if
// there is one.
func (s *state) bequeath(port, network string) {
	for _, svc := range s.services() {
		if svc.Network == network && s.publishes(svc.Key(), port) {
			s.Reserved[port] = svc.Key()
			return
		}
	}
}

// settle makes the change the state, and lets go of flows that began when
// nothing served their port.
func (n *Networks) settle(next *state, pairs []pair) ([]string, error) {
	if err := n.adopt(next); err != nil {
		return nil, err
	}
	var renamed []string
	for _, p := range pairs {
		switch {
		case p.is.Name == "":
			renamed = append(renamed, p.was.Network)
			if err := n.dropIfUnused(p.was.Network); err != nil {
				return nil, err
			}
		case p.was.Name == "":
			renamed = append(renamed, p.is.Network)
		}
		for _, port := range p.is.published() {
			was, is := p.was.behind(port), p.is.behind(port)
			if len(is.to) == 0 || len(was.to) > 0 && slices.Equal(was.from, is.from) {
				continue
			}
			for _, l := range n.state.listeners(port) {
				if _, err := cutUntranslated(l); err != nil {
					return nil, err
				}
			}
		}
	}
	slices.Sort(renamed)
	return slices.Compact(renamed), n.file.put(n.state)
}
