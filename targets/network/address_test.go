package network

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// at is a service published on 8000 at addresses, for clients.
func at(name string, e Endpoint, addresses []string, from ...string) Service {
	s := Service{Network: "shop-prod", Name: name, Backends: []Backend{{Address: e.Address}}}
	for _, protocol := range []string{"tcp", "udp"} {
		p := Port{Protocol: protocol, To: 80, Publish: 8000, Addresses: addresses}
		for _, f := range from {
			p.From = append(p.From, netip.MustParsePrefix(f))
		}
		s.Ports = append(s.Ports, p)
	}
	return s
}

// answers compares who answers, by TCP and UDP; "" is a refusal.
func (w *world) answers(when string, from int, to, want string) {
	w.t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		id, _, err := ask(from, network, to)
		if id != want || want == "" && !errors.Is(err, errRefused) {
			w.t.Errorf("%s: %s %s: %q, %v; want %q", when, network, to, id, err, want)
		}
	}
}

// TestPublishAtAddresses has three services publish one port at different
// addresses of the host: each answers at its own, and no other address does.
func TestPublishAtAddresses(t *testing.T) {
	w := newWorld(t)
	inner, outer := w.attach("shop-prod", "inner"), w.attach("shop-prod", "outer")
	other := w.attach("shop-test", "other")
	w.serve(inner, "inner", 80)
	w.serve(outer, "outer", 80)
	w.serve(other, "other", 80)
	second := w.secondAddress()
	elsewhere := at("web", other, []string{second.String()})
	elsewhere.Network = "shop-test"
	w.set(at("inner", inner, []string{"127.0.0.1"}), at("outer", outer, []string{"wire0"}), elsewhere)
	check := func(when string) {
		t.Helper()
		w.answers(when, host, "127.0.0.1:8000", "inner")
		w.answers(when, w.client, published, "outer")
		w.answers(when, w.client, second.String()+":8000", "other")
		if err := errors.Join(w.Verify("shop-prod"), w.Verify("shop-test")); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("at once")
	w.reopen()
	check("after a restart of the agent")
	if _, err := listen("tcp", second.String()+":8000"); err == nil {
		t.Error("another process can have the port")
	}
}

// secondAddress gives the host another interface, with an address that the
// client reaches.
func (w *world) secondAddress() netip.Addr {
	a := netip.MustParseAddr("198.51.100.1")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "second0"
	w.must(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	w.t.Cleanup(func() { w.must(removeLink("second0")) })
	w.must(address("second0", a))
	return a
}

// TestLoopbackPortIsClosedToOutside has an attacker on the same wire send to
// 127.0.0.1 itself.
func TestLoopbackPortIsClosedToOutside(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "db")
	w.serve(e, "db", 80)
	w.set(at("db", e, []string{"127.0.0.1"}))
	w.answers("another host", w.client, published, "") // the host's own stack refuses it
	w.must(inNamespace(w.client, func() error {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err == nil {
			err = netlink.AddrDel(lo, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("127.0.0.1/8"))})
		}
		return errors.Join(err, netlink.RouteAdd(&netlink.Route{Gw: hostAddress.AsSlice(), Src: clientAddress.AsSlice(), Dst: ipNet(netip.MustParsePrefix("127.0.0.0/8"))}),
			setSysctls(sysctl{"net/ipv4/conf/wire1/route_localnet", "1", false}))
	}))
	var u net.PacketConn
	w.must(inNamespace(w.client, func() (err error) { u, err = net.ListenPacket("udp4", clientAddress.String()+":12345"); return err }))
	defer u.Close()
	w.must(inNamespace(w.client, func() error { return sendAs(clientAddress, netip.MustParseAddr("127.0.0.1"), 8000) }))
	if got, ok := received(u); ok {
		t.Errorf("a packet to 127.0.0.1 from another host is answered: %s", got)
	}
}

// TestPublishFrom lets one network in, and then all: what was refused before
// does not stay so.
func TestPublishFrom(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "db")
	w.serve(e, "db", 80)
	w.set(at("db", e, nil, "10.0.0.0/8", "192.0.2.0/30"))
	w.answers("of a network that may", w.client, published, "db")
	w.answers("the host itself", host, published, "db")
	w.answers("the host by its loopback", host, "127.0.0.1:8000", "")
	w.must(w.Verify("shop-prod"))
	w.set(at("db", e, nil, "10.0.0.0/8", "192.0.2.1/32"))
	early, err := dial(w.client, "udp", published)
	w.must(err)
	defer early.Close()
	if _, _, err := greeting(early); !errors.Is(err, errRefused) {
		t.Errorf("a client that may not: %v", err)
	}
	w.answers("of no network that may", w.client, published, "")
	w.answers("the host itself", host, published, "db")
	w.must(w.Verify("shop-prod"))
	w.set(at("db", e, nil))
	if id, _, err := greeting(early); id != "db" {
		t.Errorf("a client that was refused before: %q, %v", id, err)
	}
	w.must(w.Verify("shop-prod"))
}

// TestFromOfTwoReleases: while instances of two releases serve, whom either lets
// in is let in.
func TestFromOfTwoReleases(t *testing.T) {
	narrow, wide := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")
	port := func(from ...netip.Prefix) []Port { return []Port{{Protocol: "tcp", To: 80, Publish: 80, From: from}} }
	s := Service{Backends: []Backend{{Address: hostAddress, Ports: port(wide, narrow)}, {Address: clientAddress, Ports: port(narrow)}}}
	if c := s.behind(hostPort{"tcp", "", 80}); !slices.Equal(c.from, []netip.Prefix{narrow, wide}) || len(c.to) != 2 {
		t.Errorf("%+v", c)
	}
	s.Backends[1].Ports = port()
	if c := s.behind(hostPort{"tcp", "", 80}); c.from != nil {
		t.Errorf("%+v, want everybody", c)
	}
}

// TestAddressesCollide: a port that another environment has at one address can
// be had at another, and not at all of them.
func TestAddressesCollide(t *testing.T) {
	w := newWorld(t)
	ports := func(addresses ...string) []Port {
		return []Port{{Protocol: "tcp", To: 80, Publish: 8000, Addresses: addresses}}
	}
	w.must(w.Reserve(t.Context(), "shop-prod", "web", ports("wire0")))
	var taken *PortTakenError
	for _, addresses := range [][]string{nil, {"wire0"}, {"192.0.2.1"}, {"127.0.0.1", "192.0.2.1"}} {
		err := w.Reserve(t.Context(), "shop-test", "web", ports(addresses...))
		if !errors.As(err, &taken) || taken.Service != (Key{"shop-prod", "web"}) {
			t.Errorf("at %v: %v", addresses, err)
		}
	}
	w.must(w.Reserve(t.Context(), "shop-test", "web", ports("127.0.0.1")))
	if err := w.Reserve(t.Context(), "shop-test", "web", ports("wire9")); err == nil || errors.As(err, &taken) && taken.Pid != 0 {
		t.Errorf("an interface that is not there: %v", err)
	}
	stop := occupy(t, "tcp", "127.0.0.2:8000")
	defer stop()
	err := w.Reserve(t.Context(), "shop-test", "web", ports("127.0.0.2"))
	if !errors.As(err, &taken) || taken.Address != netip.MustParseAddr("127.0.0.2") || taken.Pid != unix.Getpid() {
		t.Errorf("an address that this process has: %v", err)
	}
}

// TestNarrowAPort moves a port from all addresses to one and back, while the
// container stays.
func TestNarrowAPort(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "web")
	w.serve(e, "web", 80)
	w.set(at("web", e, nil))
	for _, addresses := range [][]string{{"127.0.0.1"}, nil, {"wire0"}} {
		s := at("web", e, addresses)
		w.must(w.Reserve(t.Context(), "shop-prod", "web", s.Ports))
		w.set(s)
		w.must(w.Release(t.Context(), "shop-prod", []Service{s}))
		w.must(w.Verify("shop-prod"))
		inside, outside := "web", "web"
		if len(addresses) > 0 && addresses[0] == "127.0.0.1" {
			outside = ""
		} else if len(addresses) > 0 {
			inside = ""
		}
		w.answers("within the host", host, "127.0.0.1:8000", inside)
		w.answers("outside", w.client, published, outside)
		if len(w.held) != 2 {
			t.Errorf("at %v: held are %v", addresses, w.held)
		}
	}
}

// TestInterfaceGetsAnotherAddress: a port that is published at an interface
// follows it.
func TestInterfaceGetsAnotherAddress(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "web")
	w.serve(e, "web", 80)
	w.secondAddress()
	w.must(w.Reserve(t.Context(), "shop-prod", "web", at("web", e, []string{"second0"}).Ports))
	w.set(at("web", e, []string{"second0"}))
	w.answers("the first", w.client, "198.51.100.1:8000", "web")
	link, err := netlink.LinkByName("second0")
	w.must(err)
	w.must(netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("198.51.100.1/24"))}))
	w.must(address("second0", netip.MustParseAddr("203.0.113.1")))
	_, err = w.repair()
	w.must(err)
	w.answers("the second", w.client, "203.0.113.1:8000", "web")
	if got := w.HostAddresses(at("web", e, []string{"second0"}).Ports[0]); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("203.0.113.1")}) {
		t.Errorf("said to be at %v", got)
	}
	w.must(w.Remove(t.Context(), "shop-prod"))
}
