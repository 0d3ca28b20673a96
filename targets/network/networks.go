package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Config says where Networks keeps things. Dir is required.
type Config struct {
	Dir     string               // durable state
	RunDir  string               // network namespaces; /run/dray/netns by default
	Pool    netip.Prefix         // networks are /24s of it; DefaultPool by default
	VIPs    netip.Prefix         // addresses of services; DefaultVIPs by default
	Changed func(network string) // the services that Hosts names have changed; may be nil; called without locks
	Log     *slog.Logger         // nil is none
}

// Networks is the host's part in dray's networks. It is safe for concurrent
// use; calls for one container must not overlap.
type Networks struct {
	config Config
	log    *slog.Logger
	file   *file

	mu    sync.Mutex // guards the state, and is held while the kernel follows it
	state *state
	conn  *nftables.Conn
	held  map[listener]int // sockets bound to the reserved ports

	missed map[listener]bool // of which it was said that they could not be held

	obstacle string // what was last said of the host's own firewall
}

// Open loads the state and brings the kernel to it: after a restart of the
// agent what is there is adopted, and nothing is interrupted; after a reboot
// everything is made again, with the same addresses.
func Open(c Config) (*Networks, error) {
	c.RunDir = orDefault(c.RunDir, "/run/dray/netns")
	c.Pool = orDefault(c.Pool, DefaultPool)
	c.VIPs = orDefault(c.VIPs, DefaultVIPs)
	c.Log = orDefault(c.Log, slog.New(slog.DiscardHandler))
	for _, dir := range []string{c.Dir, c.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("opening networks: %w", err)
		}
	}
	n := &Networks{config: c, log: c.Log, file: &file{path: filepath.Join(c.Dir, "network.json")}, held: map[listener]int{}, missed: map[listener]bool{}}
	s, err := n.file.load()
	if err != nil {
		return nil, err
	}
	n.state = s
	if err := n.dial(); err != nil {
		return nil, fmt.Errorf("opening networks: %w", err)
	}
	if err := n.recover(); err != nil {
		return nil, fmt.Errorf("opening networks: %w", err)
	}
	return n, nil
}

func orDefault[T comparable](v, otherwise T) T {
	if v == *new(T) {
		return otherwise
	}
	return v
}

// Close gives back the held ports. Everything in the kernel stays and works.
func (n *Networks) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.conn.CloseLasting()
	for port, fd := range n.held {
		err = errors.Join(err, unix.Close(fd))
		delete(n.held, port)
	}
	return err
}

// Hosts returns what /etc/hosts of a container of the network says of the
// services on this host, sorted by name.
func (n *Networks) Hosts(network string) []HostEntry {
	n.mu.Lock()
	defer n.mu.Unlock()
	var entries []HostEntry
	for _, s := range n.state.services() {
		if s.Network == network {
			entries = append(entries, HostEntry{s.Address, s.Name})
		}
	}
	return entries
}

// Services returns all services, sorted by network and name.
func (n *Networks) Services() []Service {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state.services()
}

// finish makes the state durable. It is called without the lock.
func (n *Networks) finish(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return n.file.write()
}

// Info is what a network is at one moment.
type Info struct {
	Name       string
	Bridge     string
	Subnet     netip.Prefix
	Gateway    netip.Addr
	Containers map[string]netip.Addr // by id
}

// List returns all networks, sorted by name.
func (n *Networks) List() []Info {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []Info
	for _, name := range slices.Sorted(maps.Keys(n.state.Networks)) {
		s := n.state.Networks[name]
		list = append(list, Info{name, s.Bridge, s.Prefix, s.gateway(), maps.Clone(s.Addresses)})
	}
	return list
}
