package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Endpoint is a container's place in a network.
type Endpoint struct {
	NetnsPath string     // of its network namespace, bind-mounted
	Address   netip.Addr // of its eth0, a /32
	Gateway   netip.Addr
}

// Attach gives a container a network namespace with eth0 on the network's
// bridge, an address and a default route. The address stays the container's
// until Detach, over restarts of the agent and of the host. Attaching again
// returns the same endpoint, made anew as far as it is missing.
func (n *Networks) Attach(ctx context.Context, network, containerID string) (Endpoint, error) {
	fail := func(err error) (Endpoint, error) {
		return Endpoint{}, fmt.Errorf("attaching container %.12s to network %s: %w", containerID, network, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fail(err)
	}
	s, address, err := n.allocate(network, containerID)
	if err != nil {
		return fail(err)
	}
	e := Endpoint{NetnsPath: filepath.Join(n.config.RunDir, containerID), Address: address, Gateway: s.gateway()}
	var g errgroup.Group
	g.Go(func() error { return n.finish(context.WithoutCancel(ctx)) })
	g.Go(func() error { return connect(e, s.Bridge, containerID) })
	if err := g.Wait(); err != nil {
		return fail(errors.Join(err, n.Detach(context.WithoutCancel(ctx), containerID)))
	}
	return e, nil
}

// allocate settles the network and the address of a container, in the state
// and in the table.
func (n *Networks) allocate(network, containerID string) (*subnet, netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, s := n.state.owner(containerID); s != nil && other != network {
		return nil, netip.Addr{}, fmt.Errorf("it is attached to network %s", other)
	}
	s, err := n.subnetOf(network)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	if a, ok := s.Addresses[containerID]; ok {
		return s, a, makeBridge(s)
	}
	a, err := s.allocate(containerID)
	if err != nil {
		return nil, a, err
	}
	tx := n.begin()
	tx.addAddress(a)
	tx.add(tx.sources, placeBytes(place{s.Bridge, a}), "")
	if err := errors.Join(tx.commit(), n.file.put(n.state)); err != nil {
		delete(s.Addresses, containerID)
		return nil, a, err
	}
	return s, a, nil
}

// AllowMetadata lets an attached container reach 169.254.0.0/16, where clouds
// give the host's credentials away. It holds until Detach.
func (n *Networks) AllowMetadata(ctx context.Context, containerID string) error {
	n.mu.Lock()
	err := n.allowMetadata(containerID)
	n.mu.Unlock()
	if err == nil {
		err = n.finish(ctx)
	}
	if err != nil {
		return fmt.Errorf("letting container %.12s reach the metadata: %w", containerID, err)
	}
	return nil
}

func (n *Networks) allowMetadata(containerID string) error {
	_, s := n.state.owner(containerID)
	if s == nil {
		return errors.New("it is not attached")
	}
	if s.Metadata[containerID] {
		return nil
	}
	tx := n.begin()
	tx.add(tx.metadata, s.Addresses[containerID].AsSlice(), "")
	if err := tx.commit(); err != nil {
		return err
	}
	if s.Metadata == nil {
		s.Metadata = map[string]bool{}
	}
	s.Metadata[containerID] = true
	return n.file.put(n.state)
}

// subnetOf returns the network's subnet; a new network gets one, and a bridge.
func (n *Networks) subnetOf(network string) (*subnet, error) {
	if s, ok := n.state.Networks[network]; ok {
		return s, nil
	}
	used, err := occupied(n.bridgeNames())
	if err != nil {
		return nil, err
	}
	used = append(used, n.state.VIPs)
	for _, s := range n.state.Networks {
		used = append(used, s.Prefix)
	}
	prefix, err := freeSubnet(append([]netip.Prefix{n.config.Pool}, spareSubnets...), used)
	if err != nil {
		return nil, err
	}
	s := &subnet{Prefix: prefix, Bridge: bridgeName(network), Addresses: map[string]netip.Addr{}, Next: prefix.Addr().Next().Next()}
	if err := makeBridge(s); err != nil {
		return nil, err
	}
	tx := n.begin()
	tx.addBridge(s.Bridge)
	if err := tx.commit(); err != nil {
		return nil, errors.Join(err, removeLink(s.Bridge))
	}
	n.state.Networks[network] = s
	n.closeNetworks()
	return s, nil
}

// bridgeName is "dray" and the first 8 hex digits of the network's name's
// SHA-256.
func bridgeName(network string) string {
	sum := sha256.Sum256([]byte(network))
	return bridgePrefix + hex.EncodeToString(sum[:4])
}

// Detach takes a container's namespace and address away. A container that is
// not attached is no error. The network goes with its last container unless it
// has services.
func (n *Networks) Detach(ctx context.Context, containerID string) error {
	n.mu.Lock()
	err := n.detach(containerID)
	n.mu.Unlock()
	if err == nil {
		err = n.finish(ctx)
	}
	if err != nil {
		return fmt.Errorf("detaching container %.12s: %w", containerID, err)
	}
	return nil
}

func (n *Networks) detach(containerID string) error {
	if err := disconnect(filepath.Join(n.config.RunDir, containerID), containerID); err != nil {
		return err
	}
	network, s := n.state.owner(containerID)
	if s == nil {
		return nil
	}
	a := s.Addresses[containerID]
	tx := n.begin()
	tx.removeAddress(a)
	tx.remove(tx.sources, placeBytes(place{s.Bridge, a}))
	if s.Metadata[containerID] {
		tx.remove(tx.metadata, a.AsSlice())
	}
	if err := tx.commit(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	delete(s.Addresses, containerID)
	delete(s.Metadata, containerID)
	if err := forgetNeighbour(s.Bridge, a); err != nil {
		return err
	}
	if _, err := cut(a, anyFlow); err != nil {
		return err
	}
	if err := n.dropIfUnused(network); err != nil {
		return err
	}
	return n.file.put(n.state)
}

// dropIfUnused removes a network without containers and services.
func (n *Networks) dropIfUnused(network string) error {
	s, ok := n.state.Networks[network]
	if !ok || len(s.Addresses) > 0 {
		return nil
	}
	for _, svc := range n.state.Services {
		if svc.Network == network {
			return nil
		}
	}
	if err := removeLink(s.Bridge); err != nil {
		return err
	}
	tx := n.begin()
	tx.removeBridge(s.Bridge)
	if err := tx.commit(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	delete(n.state.Networks, network)
	n.closeNetworks()
	return nil
}
