package network

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestAttach(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "aaaa")
	if again := w.attach("shop-prod", "aaaa"); again != e {
		t.Errorf("attached again: %+v, before: %+v", again, e)
	}
	if e.Gateway != netip.MustParseAddr("10.209.0.1") || e.Address != netip.MustParseAddr("10.209.0.2") {
		t.Errorf("endpoint %+v", e)
	}
	w.serve(e, "a", 8080)
	if id, from, err := ask(host, "tcp", "10.209.0.2:8080"); id != "a" || err != nil {
		t.Errorf("host asks container: %q from %s, %v", id, from, err)
	}
	w.must(within(e.NetnsPath, func() error {
		interfaces, err := net.Interfaces()
		for _, i := range interfaces {
			if i.Flags&net.FlagUp == 0 {
				t.Errorf("%s is down", i.Name)
			}
		}
		if len(interfaces) != 2 {
			t.Errorf("interfaces %v", interfaces)
		}
		return err
	}))
	w.must(w.Detach(context.Background(), "aaaa"))
	w.must(w.Detach(context.Background(), "aaaa"))
	if _, err := netlink.LinkByName(bridgeName("shop-prod")); !missingLink(err) {
		t.Errorf("bridge of an empty network: %v", err)
	}
}

func TestOutgoingIsMasqueraded(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "aaaa")
	var l net.Listener
	w.must(inNamespace(w.client, func() (err error) {
		l, err = net.Listen("tcp4", ":9000")
		return err
	}))
	defer l.Close()
	c, err := dial(w.from(e), "tcp", clientAddress.String()+":9000")
	w.must(err)
	defer c.Close()
	s, err := l.Accept()
	w.must(err)
	defer s.Close()
	if from := netip.MustParseAddrPort(s.RemoteAddr().String()).Addr(); from != hostAddress {
		t.Errorf("the outside sees %v, want the host's %v", from, hostAddress)
	}
}

func TestNetworksAreIsolated(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.attach("shop-prod", "a"), w.attach("shop-prod", "b"), w.attach("shop-test", "c")
	for id, e := range map[string]Endpoint{"a": a, "b": b, "c": c} {
		w.serve(e, id, 80)
	}
	w.set(Service{Network: "shop-prod", Name: "web", Ports: []Port{{Protocol: "tcp", To: 80, Publish: 8000}}, Backends: []Backend{{Address: a.Address}}})
	vip := w.Hosts("shop-prod")[0].Address.String()
	tests := []struct {
		name string
		from int
		to   string
		want string // "" is none
		seen netip.Addr
	}{
		{"own network, direct", w.from(b), a.Address.String() + ":80", "a", b.Address},
		{"own network, by service", w.from(b), vip + ":80", "a", b.Address},
		{"itself, by service", w.from(a), vip + ":80", "a", netip.Addr{}},
		{"other network, direct", w.from(c), a.Address.String() + ":80", "", netip.Addr{}},
		{"other network, by service", w.from(c), vip + ":80", "", netip.Addr{}},
		{"other network, by published port", w.from(c), hostAddress.String() + ":8000", "a", c.Address},
		{"itself, by published port", w.from(a), hostAddress.String() + ":8000", "a", netip.Addr{}},
		{"outside, direct", w.client, a.Address.String() + ":80", "", netip.Addr{}},
		{"outside, by published port", w.client, hostAddress.String() + ":8000", "a", clientAddress},
		{"host, by loopback", host, "127.0.0.1:8000", "a", netip.Addr{}},
		{"host, by its address", host, hostAddress.String() + ":8000", "a", netip.Addr{}},
		{"host, by service", w.client, vip + ":80", "", netip.Addr{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id, from, err := ask(tt.from, "tcp", tt.to)
			if id != tt.want {
				t.Errorf("answered by %q (%v), want %q", id, err, tt.want)
			}
			if seen, _ := netip.ParseAddrPort(from); tt.seen.IsValid() && seen.Addr() != tt.seen {
				t.Errorf("the container sees %s, want %v", from, tt.seen)
			}
		})
	}
}
