package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// udpQuiet is how long a UDP flow must have been silent to count as ended: UDP
// has no end of its own, and the kernel remembers a flow for minutes.
const udpQuiet = 10 * time.Second

// States of enum tcp_conntrack (linux/netfilter/nf_conntrack_tcp.h): from
// SYN_SENT to CLOSE_WAIT at least one side can still send.
const (
	stateSynSent   = 1
	stateSynRecv   = 2
	stateCloseWait = 5
	stateSynSent2  = 9 // both sides at once
)

// Drained returns the number of live connections and flows to a container's
// address that began as those of a service, or in another container: TCP as
// long as a side has not closed, UDP until it is silent for 10 seconds. What
// the host itself asks the container, such as health checks, does not count.
func (n *Networks) Drained(ctx context.Context, address netip.Addr) (int, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	flows, err := flowsTo(address)
	if err != nil {
		return 0, fmt.Errorf("counting connections to %v: %w", address, err)
	}
	gateway := n.gatewayOf(address)
	timeouts := readUDPTimeouts()
	live := 0
	for _, f := range flows {
		if f.from.Addr() == gateway && f.to.Addr() == address {
			continue // a check
		}
		if isLive(f, timeouts) {
			live++
		}
	}
	return live, nil
}

func (n *Networks) gatewayOf(address netip.Addr) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.state.Networks {
		if s.Prefix.Contains(address) {
			return s.gateway()
		}
	}
	return netip.Addr{}
}

// isLive says whether a flow may still carry something.
func isLive(f flow, t udpTimeouts) bool {
	switch f.protocol {
	case unix.IPPROTO_TCP:
		return f.state >= stateSynSent && f.state <= stateCloseWait || f.state == stateSynSent2
	case unix.IPPROTO_UDP:
		return t.silence(f) < udpQuiet
	}
	return false // ICMP and the like ask and answer once
}

// udpTimeouts are what the kernel sets the timeout of a flow to when a packet
// passes.
type udpTimeouts struct{ short, stream time.Duration }

func readUDPTimeouts() udpTimeouts {
	t := udpTimeouts{30 * time.Second, 120 * time.Second}
	for name, v := range map[string]*time.Duration{"nf_conntrack_udp_timeout": &t.short, "nf_conntrack_udp_timeout_stream": &t.stream} {
		b, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if err != nil {
			continue // the kernel's own value is the default
		}
		if seconds, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			*v = time.Duration(seconds) * time.Second
		}
	}
	return t
}

// silence is the time since the last packet of a flow.
func (t udpTimeouts) silence(f flow) time.Duration {
	const ipsAssured = 1 << 2
	full := t.short
	if f.status&ipsAssured != 0 {
		full = t.stream
	}
	return full - time.Duration(f.timeout)*time.Second
}

// Bounds of how often WaitDrained looks, and for how long it must find nothing:
// a first packet that met the rules of before a switch becomes a connection
// that can be seen only when it has passed all of them, and a processor that is
// taken away from the kernel in between makes that long.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = 250 * time.Millisecond
	quietTime = 150 * time.Millisecond
)

// WaitDrained waits until none of the addresses has had live connections for
// quietTime, or until the deadline has passed. It returns how many are left.
func (n *Networks) WaitDrained(ctx context.Context, addresses []netip.Addr, deadline time.Time) (int, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errDrainDeadline)
	defer cancel()
	var quiet time.Time // since when there have been none; zero: there are some
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		left, err := n.liveAt(context.WithoutCancel(ctx), addresses)
		switch {
		case err != nil:
			return left, err
		case left > 0:
			quiet = time.Time{}
		case quiet.IsZero():
			quiet, pause = time.Now(), firstLook
		case time.Since(quiet) >= quietTime:
			return 0, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, errDrainDeadline) {
				return left, fmt.Errorf("draining: %w", err)
			}
			return left, nil
		}
	}
}

// liveAt is the number of live connections and flows of all addresses.
func (n *Networks) liveAt(ctx context.Context, addresses []netip.Addr) (live int, err error) {
	for _, a := range addresses {
		more, err := n.Drained(ctx, a)
		if err != nil {
			return live, err
		}
		live += more
	}
	return live, nil
}

var errDrainDeadline = errors.New("the drain deadline has passed")

// Cut lets go of what would lead new connections to containers that no longer
// serve: the next packet of such a flow goes to one that does. Those are UDP
// flows, and TCP flows whose client has not had an answer yet: it gave up while
// a container was about to listen, after a boot for one, or the answer was lost
// on the way. When it asks again, or uses its port again within two minutes, it
// would be refused by a container that is told to end and has not ended yet.
// Call it after WaitDrained and before the containers are stopped.
func (n *Networks) Cut(ctx context.Context, addresses ...netip.Addr) error {
	for _, a := range addresses {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := cut(a, beginsAnew); err != nil {
			return err
		}
	}
	return nil
}

// beginsAnew says whether the next packet of a flow can go to another container
// without harm.
func beginsAnew(f flow) bool {
	return f.protocol == unix.IPPROTO_UDP || f.protocol == unix.IPPROTO_TCP && (f.state == stateSynSent || f.state == stateSynRecv)
}

// Forget drops all that the kernel tracks of containers that have ended. A TCP
// entry that the container's RST closed lives on for seconds, and one whose end or
// beginning was lost on the way for minutes: a client that uses its port again
// would be led to the dead container by it.
func (n *Networks) Forget(ctx context.Context, addresses ...netip.Addr) error {
	for _, a := range addresses {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, err := cut(a, anyFlow); err != nil {
			return fmt.Errorf("forgetting connections to %v: %w", a, err)
		}
	}
	return nil
}

func anyFlow(flow) bool { return true }

// cut forgets the flows to a container that which picks.
func cut(address netip.Addr, which func(flow) bool) (int, error) {
	flows, err := flowsTo(address)
	if err != nil {
		return 0, err
	}
	return forgetAll(flows, which)
}

// cutUntranslated forgets UDP flows to a port of the host that no container
// answers, and TCP connections there that were refused: the refusal itself
// makes the kernel remember them as opening, for two minutes, in which the same
// client's port would be refused again.
func cutUntranslated(port listener) (int, error) {
	flows, err := dump()
	if err != nil {
		return 0, err
	}
	return forgetAll(flows, func(f flow) bool {
		opening := f.protocol == unix.IPPROTO_TCP && f.state == stateSynSent
		alike := port.Protocol == "udp" && f.protocol == unix.IPPROTO_UDP || port.Protocol == "tcp" && opening
		here := !port.Address.IsValid() || f.to.Addr() == port.Address
		return alike && here && f.to.Port() == port.Number && f.to == f.server
	})
}

func forgetAll(flows []flow, which func(flow) bool) (int, error) {
	count := 0
	var errs error
	for _, f := range flows {
		if which(f) {
			errs = errors.Join(errs, forget(f))
			count++
		}
	}
	return count, errs
}
