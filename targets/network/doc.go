// Package network gives containers an address, services a name, and published
// ports a way in; and it moves traffic from one release to the next.
//
// The way through it: Open brings the host's kernel to what the state file
// says. Attach gives a container a network namespace on its network's bridge.
// Reserve takes a port before anything serves on it. Switch makes new
// connections go to other containers, WaitDrained waits for the connections
// that began before, Cut lets go of the flows that will not end.
//
// # How packets travel
//
//	                     table ip dray
//	client ──► prerouting ──► published: tcp . 80   ─► chain shop-prod/web/tcp/80 ─► dnat to one of its containers
//	                          (published_at: 10.0.0.5 . tcp . 80, for ports at one address)
//	process ─► output     ──► services:  10.208.0.3 ─► chain shop-prod/web        ─► dnat to one of its containers
//	                              │
//	                              ▼ forward: only inside one network, or through a published port
//	                      bridge dray1a2b3c4d 10.209.3.1/24 ── veth ── eth0 10.209.3.7/32
//
// A container's address is a /32 whose gateway is the bridge, and both know
// each other's hardware address without asking: every packet passes the host's
// IP layer. So a reply always meets the connection tracking that its request
// met, and the other side sees the client's own address. Where br_netfilter is
// loaded, as on Docker's hosts, the bridge passes translated packets on by
// itself, after the same chains.
//
// The choice of a container is made once, for the first packet of a
// connection; the kernel's connection tracking keeps it. So a switch replaces
// the rules of a few chains in one netlink transaction and leaves live
// connections alone, and everything goes on working while the agent is away.
//
// # Decisions
//
// 2026-11-22: a service's address is translated whatever the port, as a name
// in Compose would be: what a service listens on is reachable from its own
// environment without being declared.
//
// 2026-11-22: where the host's own firewall drops forwarded packets by default
// (Docker sets the policy of iptables' FORWARD so), one rule is inserted into
// that chain, or into DOCKER-USER. Nothing else outside the table dray and the
// bridges is touched. A host that still uses iptables-legacy can't be helped
// that way; the log names the command.
//
// 2026-11-28: that rule accepts only packets with dray's mark, which chain mark
// puts on what dray allows: replies, one network's own traffic, what comes
// through a published port, and what leaves to other hosts (outward.go). It used
// to accept all that came from a bridge, and so opened the networks of other
// programs on the host.
//
// 2026-11-28: the host's routing is closed to what the table has not marked
// (routing.go), and strict about senders: rules that are flushed, by hand or by a
// firewall that is reloaded, open nothing in the time until they are back.
//
// 2026-11-28: a port at an interface is at the addresses that the interface has,
// as for a program that binds them: what comes for such an address by another way
// reaches it too, and 127.0.0.1 from the host itself alone. A port's clients
// (from) are told apart in its chain; those of other networks meet the refusal of
// a port that nothing serves.
//
// 2026-11-22: IPv4 only. A port published on an IPv6 address of the host is
// held, so that nothing else answers there, and refuses connections.
//
// Not here: which container should serve (targets/agent), health
// (targets/supervise), writing /etc/hosts (targets/runtime).
package network
