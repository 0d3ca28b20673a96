package network

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Change is what one Switch does. Services in Set replace what was there under
// their key; Address is ignored. Those in Remove are forgotten, and their
// ports given back.
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
	renamed, err := n.apply(c)
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
		renamed, err = n.apply(c)
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

// apply does a change: ports first, then the kernel, then the state. It
// returns the networks whose names changed.
func (n *Networks) apply(c Change) ([]string, error) {
	pairs, err := n.pairs(c)
	if err != nil {
		return nil, err
	}
	next, err := n.after(pairs)
	if err != nil {
		return nil, err
	}
	tx := begin()
	for _, p := range pairs {
		if p.is.Name != "" {
			tx.setService(p.was, p.is)
		}
	}
	if slices.ContainsFunc(pairs, mapsDiffer) || !maps.Equal(n.state.Reserved, next.Reserved) {
		tx.setMaps(next)
		for _, p := range pairs {
			tx.removeChains(p.was, p.is)
		}
	}
	if err := tx.commit(); err != nil {
		n.letGoUnused(n.state)
		return nil, err
	}
	return n.settle(next, pairs)
}

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

// mapsDiffer says whether a service has other chains than before.
func mapsDiffer(p pair) bool {
	return (p.was.Name == "") != (p.is.Name == "") || !slices.Equal(p.was.published(), p.is.published())
}

// after returns the state with the pairs applied. Ports that are new to it are
// bound already.
func (n *Networks) after(pairs []pair) (*state, error) {
	next := *n.state
	next.Services, next.Reserved = maps.Clone(n.state.Services), maps.Clone(n.state.Reserved)
	for _, p := range pairs {
		if p.is.Name == "" {
			delete(next.Services, p.was.Key().String())
		} else {
			next.Services[p.is.Key().String()] = p.is
		}
	}
	for _, p := range pairs {
		next.bequeath(p)
	}
	for _, p := range pairs {
		if err := n.claim(&next, p.is.Key(), p.is.published(), true); err != nil {
			return nil, err
		}
	}
	return &next, nil
}

// settle makes the change the state, and lets go of UDP flows that began when
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
			if port.Protocol == "udp" && len(p.was.behind(port)) == 0 {
				if _, err := cutUntranslated(port.Number); err != nil {
					return nil, err
				}
			}
		}
	}
	slices.Sort(renamed)
	return slices.Compact(renamed), n.file.put(n.state)
}
