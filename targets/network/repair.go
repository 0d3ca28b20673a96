package network

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// settleTime is how long Run lets changes of the host's rules come to rest
// before it looks: a firewall that is reloaded changes many.
const settleTime = 200 * time.Millisecond

// repairEvery is how often Run tries again what it could not put right.
const repairEvery = 30 * time.Second

// Run watches the host's rules, routes and addresses until ctx ends, and then returns nil.
// When someone flushes the ruleset, or starts a firewall that drops forwarded
// packets, what dray needs is put back.
func (n *Networks) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.watchRules(ctx) })
	group.Go(func() error { return n.watchRoutes(ctx) })
	group.Go(func() error { return n.watchAddresses(ctx) })
	return group.Wait()
}

func (n *Networks) watchRules(ctx context.Context) error {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	if err != nil {
		return fmt.Errorf("watching the host's rules: %w", err)
	}
	defer conn.Close()
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(past) }) // wakes Receive; a closed socket needs no waking
	defer stop()
	for {
		again := time.Time{} // without an end
		whole, err := n.repair()
		if err != nil {
			n.log.Error("putting dray's rules back", "error", err)
		}
		if err != nil || !whole {
			again = time.Now().Add(repairEvery)
		}
		if err := conn.SetReadDeadline(again); err != nil {
			return fmt.Errorf("watching the host's rules: %w", err)
		}
		for changed := false; !changed; {
			if ctx.Err() != nil {
				return nil
			}
			messages, err := conn.Receive()
			if ctx.Err() != nil {
				return nil
			}
			// An error is that of a full buffer: something was missed. Or it is
			// time to try again.
			changed = err != nil || slices.ContainsFunc(messages, matters)
		}
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
			return nil
		}
	}
}

// matters says whether a change may concern dray: tables and chains, not the
// rules and elements that come and go all the time.
func matters(m netlink.Message) bool {
	switch uint16(m.Header.Type) & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		return true
	}
	return false
}

// repair brings the bridges and the table back to the state where they differ.
func (n *Networks) repair() (whole bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	whole = n.makeBridges()
	n.lookOutward()
	n.lookAddresses()
	tx := n.begin()
	was, err := tx.readLayout()
	if err != nil {
		return whole, err
	}
	is := layoutOf(n.state)
	if !maps.Equal(was.outward, is.outward) && was.base == is.base {
		n.log.Info("containers reach other hosts by other interfaces now", "interfaces", n.state.outward)
	} else if !was.sameKeys(is) {
		n.log.Warn("someone has changed dray's rules; putting them back")
	}
	if !was.sameKeys(is) {
		if err := n.rebuild(tx, was); err != nil {
			return whole, err
		}
	}
	n.closeNetworks()
	n.letGoUnused(n.state)
	n.holdReserved()
	n.openLoopback()
	n.passForeignFirewall()
	return whole, nil
}

// passForeignFirewall does what it can about the host's own rules, and says
// what it can't, once.
func (n *Networks) passForeignFirewall() {
	err := n.openForeignForward()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if err != nil && text != n.obstacle {
		n.log.Warn("the host's own firewall may drop containers' packets", "error", err)
	}
	n.obstacle = text
}

// rebuild brings the table from what it was to the state, and lets go of what
// met published ports while the table did not lead to them.
func (n *Networks) rebuild(tx *transaction, was layout) error {
	is := layoutOf(n.state)
	tx.frame(n.state.VIPs)
	tx.follow(was, is)
	if err := tx.commit(); err != nil {
		return fmt.Errorf("building table %s: %w", tableName, err)
	}
	n.closeNetworks() // once the table marks what is allowed
	for port, name := range is.published {
		if was.published[port] != "" || len(is.chains[name].to) == 0 {
			continue
		}
		if _, err := cutUntranslated(port); err != nil {
			return err
		}
	}
	return nil
}

// sameKeys compares everything but what chains do.
func (l layout) sameKeys(o layout) bool {
	chains := func(c layout) []string { return slices.Sorted(maps.Keys(c.chains)) }
	return l.base == o.base && slices.Equal(chains(l), chains(o)) &&
		maps.Equal(l.addresses, o.addresses) && maps.Equal(l.sources, o.sources) && maps.Equal(l.metadata, o.metadata) &&
		maps.Equal(l.bridges, o.bridges) && maps.Equal(l.outward, o.outward) && maps.Equal(l.ports, o.ports) &&
		maps.Equal(l.services, o.services) && maps.Equal(l.published, o.published)
}
