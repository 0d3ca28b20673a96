package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"

	"dray/pipeline/durable"
)

// state is everything that must outlive the agent and the host's uptime. It
// is kept as one JSON file.
type state struct {
	Version  int                `json:"version"`
	VIPs     netip.Prefix       `json:"vips"`
	Networks map[string]*subnet `json:"networks"`
	Services map[string]Service `json:"services"` // by Key.String
	Reserved map[string]Key     `json:"reserved"` // by hostPort.String
	NextVIP  netip.Addr         `json:"next_vip,omitzero"`

	// What of the host it depends on, as that is now.
	outward    []string                // interfaces by which containers reach other hosts
	interfaces map[string][]netip.Addr // IPv4 addresses by interface
}

// subnet is one network: a bridge, and the addresses on it.
type subnet struct {
	Prefix    netip.Prefix          `json:"prefix"`
	Bridge    string                `json:"bridge"`
	Addresses map[string]netip.Addr `json:"addresses"`          // by container's id
	Metadata  map[string]bool       `json:"metadata,omitempty"` // containers that may reach the cloud's metadata
	Next      netip.Addr            `json:"next"`               // where the search for a free address begins, so that a freed one rests
}

// gateway is the bridge's own address, the first of the subnet.
func (s *subnet) gateway() netip.Addr { return s.Prefix.Addr().Next() }

// clone returns a copy whose services and reservations can be changed.
func (s *state) clone() *state {
	c := *s
	c.Services, c.Reserved = maps.Clone(s.Services), maps.Clone(s.Reserved)
	return &c
}

// owner returns the network that a container is attached to.
func (s *state) owner(containerID string) (string, *subnet) {
	for name, n := range s.Networks {
		if _, ok := n.Addresses[containerID]; ok {
			return name, n
		}
	}
	return "", nil
}

// services returns all services, sorted by key.
func (s *state) services() []Service {
	list := make([]Service, 0, len(s.Services))
	for _, k := range slices.Sorted(maps.Keys(s.Services)) {
		list = append(list, s.Services[k])
	}
	return list
}

// file is the state's file. Writers that come while another writes are served
// by one write after it.
type file struct {
	path    string
	writing sync.Mutex
	saved   uint64 // guarded by writing

	mu     sync.Mutex
	latest []byte
	number uint64
}

// put hands over the content to write; write makes it durable.
func (f *file) put(s *state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding network state: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = b
	f.number++
	return nil
}

// write returns when everything that was put before is on disk.
func (f *file) write() error {
	f.mu.Lock()
	wanted := f.number
	f.mu.Unlock()
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.saved >= wanted {
		return nil
	}
	f.mu.Lock()
	content, number := f.latest, f.number
	f.mu.Unlock()
	if err := durable.Write(f.path, content, 0o600); err != nil {
		return fmt.Errorf("saving network state: %w", err)
	}
	f.saved = number
	return nil
}

// load reads the state, or returns an empty one.
func (f *file) load() (*state, error) {
	s := &state{Version: 1, Networks: map[string]*subnet{}, Services: map[string]Service{}, Reserved: map[string]Key{}}
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading network state: %w", err)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("reading network state %s: %w", f.path, err)
	}
	return s, nil
}
