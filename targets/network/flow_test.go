package network

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestIsLive(t *testing.T) {
	timeouts := udpTimeouts{30 * time.Second, 120 * time.Second}
	const established, lastAck, timeWait, assured = 3, 6, 7, 1 << 2
	tests := []struct {
		name string
		flow flow
		want bool
	}{
		{"established", flow{protocol: unix.IPPROTO_TCP, state: established}, true},
		{"half closed", flow{protocol: unix.IPPROTO_TCP, state: stateCloseWait}, true},
		{"both closed", flow{protocol: unix.IPPROTO_TCP, state: lastAck}, false},
		{"over", flow{protocol: unix.IPPROTO_TCP, state: timeWait}, false},
		{"udp, just now", flow{protocol: unix.IPPROTO_UDP, timeout: 29}, true},
		{"udp, silent", flow{protocol: unix.IPPROTO_UDP, timeout: 19}, false},
		{"udp stream, 5 s ago", flow{protocol: unix.IPPROTO_UDP, timeout: 115, status: assured}, true},
		{"udp stream, silent", flow{protocol: unix.IPPROTO_UDP, timeout: 100, status: assured}, false},
		{"icmp", flow{protocol: unix.IPPROTO_ICMP, timeout: 29}, false},
	}
	for _, tt := range tests {
		if got := isLive(tt.flow, timeouts); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestFlowsTo asks the kernel for the flows of one container among others.
func TestFlowsTo(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("n", "a"), w.attach("n", "b")
	for _, e := range []Endpoint{a, b} {
		w.serve(e, "x", 80)
		c, err := dial(w.client, "tcp", netip.AddrPortFrom(e.Address, 80).String())
		if err == nil {
			c.Close()
			t.Error("the outside reaches a container directly")
		}
		c, err = dial(host, "tcp", netip.AddrPortFrom(e.Address, 80).String())
		w.must(err)
		defer c.Close()
	}
	flows, err := flowsTo(a.Address)
	w.must(err)
	if len(flows) != 1 || flows[0].server != netip.AddrPortFrom(a.Address, 80) || flows[0].from.Addr() != a.Gateway || flows[0].protocol != unix.IPPROTO_TCP {
		t.Errorf("%+v", flows)
	}
	if live, err := w.Drained(t.Context(), a.Address); live != 0 || err != nil {
		t.Errorf("a check of the host counts: %d, %v", live, err)
	}
}

func FuzzParseFlow(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 8, 0, 1, 128, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, ok := parseFlow(b); ok && (!got.server.Addr().Is4() || len(got.answers) == 0) {
			t.Errorf("%+v", got)
		}
	})
}

// TestForgettingSparesWhoCameBack: between the look at what is tracked of a
// container and its deletion, a client may use its port again, and be led to
// another container by now.
func TestForgettingSparesWhoCameBack(t *testing.T) {
	w := newWorld(t)
	old, now, next := w.attach("shop-prod", "old"), w.attach("shop-prod", "new"), w.attach("shop-prod", "next")
	w.serve(old, "old", 80)
	w.serve(now, "new", 80)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: clientAddress.AsSlice(), Port: 45000}, Timeout: 2 * time.Second}
	connect := func(want string) *net.TCPConn {
		t.Helper()
		var c net.Conn
		w.must(inNamespace(w.client, func() (err error) {
			c, err = dialer.DialContext(t.Context(), "tcp", published)
			return err
		}))
		if id, _, err := greeting(c); id != want {
			t.Fatalf("%q answers (%v), want %s", id, err, want)
		}
		return c.(*net.TCPConn)
	}
	w.set(web(old))
	first := connect("old")
	w.must(first.SetLinger(0)) // so that the port is free at once
	w.must(first.Close())
	flows, err := flowsTo(old.Address)
	w.must(err)
	w.set(web(now))
	second := connect("new")
	defer second.Close()
	w.set(web(next)) // where its packets would go if it were forgotten
	if n, err := forgetAll(flows, anyFlow); n == 0 || err != nil {
		t.Fatalf("%d flows were forgotten (%v)", n, err)
	}
	w.must(echo(second))
	if flows, err = flowsTo(old.Address); len(flows) != 0 || err != nil {
		t.Errorf("left of the old container: %+v (%v)", flows, err)
	}
}

// TestCutLetsGoOfUnansweredConnections: a client that gave up before the
// container could answer comes back with the same port, when the container has
// been replaced and told to end.
func TestCutLetsGoOfUnansweredConnections(t *testing.T) {
	w := newWorld(t)
	old, now := w.attach("shop-prod", "old"), w.attach("shop-prod", "new")
	w.serve(now, "new", 80)
	w.set(web(old))
	inOld := func(f func(link netlink.Link) error) {
		t.Helper()
		w.must(within(old.NetnsPath, func() error {
			link, err := netlink.LinkByName(inside)
			if err != nil {
				return err
			}
			return f(link)
		}))
	}
	inOld(netlink.LinkSetDown)
	if id, err := w.connectFrom("tcp", 45000, 300*time.Millisecond); err == nil {
		t.Fatalf("%s answers without a cable", id)
	}
	inOld(func(link netlink.Link) error {
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		return addressAndRoutes(link, old)
	})
	w.set(web(now))
	w.must(w.Cut(t.Context(), old.Address))
	// The old container runs still, and does not listen any more.
	if id, err := w.connectFrom("tcp", 45000, 2*time.Second); id != "new" || err != nil {
		t.Errorf("%q answers (%v), want new", id, err)
	}
}

// TestCutLetsGoOfLostAnswers: a container's answer was lost on the way; the
// client, that asks again, has not met it yet.
func TestCutLetsGoOfLostAnswers(t *testing.T) {
	w := newWorld(t)
	old, now := w.attach("shop-prod", "old"), w.attach("shop-prod", "new")
	stop := w.serve(old, "old", 80)
	w.serve(now, "new", 80)
	w.set(web(old))
	hear := w.deafen()
	if id, err := w.connectFrom("tcp", 45000, 300*time.Millisecond); err == nil {
		t.Fatalf("%s answers one who hears nothing", id)
	}
	hear()
	w.set(web(now))
	stop() // listening; the container runs still
	w.must(w.Cut(t.Context(), old.Address))
	if id, err := w.connectFrom("tcp", 45000, 2*time.Second); id != "new" || err != nil {
		t.Errorf("%q answers (%v), want new", id, err)
	}
}

// TestRebuildLetsGoOfRefusals: a UDP client that spoke while the table was away
// is served when it is back, however often it speaks.
func TestRebuildLetsGoOfRefusals(t *testing.T) {
	w := newWorld(t)
	now := w.attach("shop-prod", "new")
	w.serve(now, "new", 80)
	w.set(web(now))
	w.must(w.Close())
	w.flush()
	w.trackAnyway()
	if id, err := w.connectFrom("udp", 45000, 2*time.Second); err == nil {
		t.Fatalf("%q answers (%v) without a table", id, err)
	}
	w.reopen()
	if id, err := w.connectFrom("udp", 45000, 2*time.Second); id != "new" || err != nil {
		t.Errorf("%q answers (%v), want new", id, err)
	}
}
