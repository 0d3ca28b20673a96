package assembly

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"dray/pipeline"
	"dray/targets/agent"
	"dray/targets/api"
	"dray/targets/network"
	"dray/targets/runtime"
)

// traffic is the host's networks as the agent needs them.
type traffic struct {
	*network.Networks
	engine *runtime.Engine
}

var _ agent.Traffic = traffic{}

// Ensure implements agent.Traffic.
func (t traffic) Ensure(ctx context.Context, name string, services []string) error {
	if err := t.Networks.Ensure(ctx, name); err != nil {
		return err
	}
	return t.Declare(ctx, name, services...)
}

// Reserve implements agent.Traffic.
func (t traffic) Reserve(ctx context.Context, name, service string, ports []pipeline.Port) error {
	err := t.Networks.Reserve(ctx, name, service, portsOf(ports))
	var taken *network.PortTakenError
	if !errors.As(err, &taken) {
		return err
	}
	fault := api.Errorf(api.CodePort, "%s of service %s: %v", portName(ports, taken), service, taken)
	fault.Service, fault.Port = service, portName(ports, taken)
	return fault
}

func portName(ports []pipeline.Port, taken *network.PortTakenError) string {
	for _, p := range ports {
		at := len(p.Address) == 0 || !taken.Address.IsValid() || slices.Contains(p.Address, taken.Address.String())
		if p.Publish == int(taken.Port) && p.Protocol == taken.Protocol && at {
			return p.Name
		}
	}
	return ""
}

func portsOf(ports []pipeline.Port) []network.Port {
	out := make([]network.Port, 0, len(ports))
	for _, p := range ports {
		port := network.Port{Protocol: p.Protocol, To: uint16(p.To), Publish: uint16(p.Publish), Addresses: p.Address}
		for _, from := range p.From {
			port.From = append(port.From, netip.MustParsePrefix(from)) // the release was checked when it came
		}
		out = append(out, port)
	}
	return out
}

// Switch implements agent.Traffic. Each container has the ports of its own
// release; a service without any keeps the ports that are reserved for it.
func (t traffic) Switch(ctx context.Context, routes []agent.Route) error {
	var change network.Change
	for _, r := range routes {
		s := network.Service{Network: r.Network, Name: r.Service}
		for _, b := range r.Backends {
			s.Backends = append(s.Backends, network.Backend{Address: b.Address, Ports: portsOf(b.Ports)})
		}
		change.Set = append(change.Set, s)
	}
	return t.Networks.Switch(ctx, change)
}

// hostsTime bounds the wait for containers that are busy, to write their names.
const hostsTime = 10 * time.Second

// Verify implements agent.Traffic.
func (t traffic) Verify(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, hostsTime, errors.New("a container is busy"))
	defer cancel()
	return errors.Join(t.Networks.Verify(name), setHosts(ctx, t.engine, t.Networks, name))
}

// setHosts has the containers of a network know the names of its services now.
func setHosts(ctx context.Context, engine *runtime.Engine, networks *network.Networks, name string) error {
	entries := hostsOf(networks.Hosts(name))
	var faults []error
	for _, c := range engine.List() {
		if c.Spec.Network != name || c.State != runtime.Running || !c.Wanted {
			continue // its next start asks for the names; one that is being stopped would be waited for
		}
		// A container that has filled its own files keeps the names that it has.
		if err := unlessGone(engine.SetHosts(ctx, c.ID, entries)); err != nil && !errors.Is(err, unix.ENOSPC) {
			faults = append(faults, fmt.Errorf("writing /etc/hosts of %s: %w", c.Spec.Name, err))
		}
	}
	return errors.Join(faults...)
}

// Drained implements agent.Traffic. UDP flows that do not end by themselves
// are let go of, so that their next packet finds a container that serves.
func (t traffic) Drained(ctx context.Context, addresses []netip.Addr) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Hour)
	}
	_, err := t.WaitDrained(ctx, addresses, deadline)
	if errors.Is(ctx.Err(), context.Canceled) {
		return err // somebody else goes on with it: their time is not over
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return errors.Join(err, t.Cut(context.WithoutCancel(ctx), addresses...))
}

// Release implements agent.Traffic.
func (t traffic) Release(ctx context.Context, name string, keep []agent.Route) error {
	var services []network.Service
	for _, r := range keep {
		services = append(services, network.Service{Network: name, Name: r.Service, Ports: portsOf(r.Ports)})
	}
	return t.Networks.Release(ctx, name, services)
}

// attachments is the host's networks as the engine needs them.
type attachments struct{ *network.Networks }

var _ runtime.Networks = attachments{}

// Attach implements runtime.Networks.
func (n attachments) Attach(ctx context.Context, a runtime.NetworkRequest) (runtime.Endpoint, error) {
	end, err := n.Networks.Attach(ctx, a.Network, a.Container)
	if err == nil && a.Metadata {
		err = n.AllowMetadata(ctx, a.Container)
	}
	return runtime.Endpoint{NetnsPath: end.NetnsPath, Address: end.Address, Hosts: hostsOf(n.Hosts(a.Network))}, err
}

// Detach implements runtime.Networks.
func (n attachments) Detach(ctx context.Context, _, containerID string) error {
	return n.Networks.Detach(ctx, containerID)
}

func hostsOf(entries []network.HostEntry) []runtime.HostEntry {
	out := make([]runtime.HostEntry, 0, len(entries))
	for _, h := range entries {
		out = append(out, runtime.HostEntry{Address: h.Address, Names: []string{h.Name}})
	}
	return out
}

// Reach is what agent.Config asks for: the host's firewall, and what is open past it.
func (h *Host) Reach() (firewall string, open []api.Open) {
	firewall, err := h.Networks.Firewall()
	if err != nil {
		h.config.Log.Warn("looking for the host's firewall", "error", err) // it is shown as a host without one
	}
	for _, p := range h.Networks.OpenPorts() {
		o := api.Open{Port: fmt.Sprintf("%d/%s", p.Number, p.Protocol), Network: p.Service.Network, Service: p.Service.Service}
		if p.Address.IsValid() {
			o.Address = p.Address.String()
		}
		for _, from := range p.From {
			o.From = append(o.From, from.String())
		}
		open = append(open, o)
	}
	return firewall, open
}
