package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestIsolationOutlivesTheTable has a container and an outside client reach for
// what is not theirs, with the table in place and after a flush while no agent
// is there to put it back.
func TestIsolationOutlivesTheTable(t *testing.T) {
	for _, filter := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables="+filter, func(t *testing.T) {
			bridgeFilter(t, filter)
			w := newWorld(t)
			victim, neighbour, attacker := w.attach("shop-prod", "victim"), w.attach("shop-prod", "neighbour"), w.attach("shop-test", "attacker")
			w.serve(victim, "victim", 80)
			w.set(web(victim), Service{Network: "shop-test", Name: "own", Ports: []Port{{Protocol: "tcp", To: 80, Publish: 8001}}, Backends: []Backend{{Address: attacker.Address}}})
			for to, from := range map[string]int{published: w.client, "127.0.0.1:8000": host, victim.Address.String() + ":80": w.from(neighbour)} {
				if id, _, err := ask(from, "tcp", to); id != "victim" {
					t.Fatalf("asking %s: %q, %v; nothing is tested", to, id, err)
				}
			}
			w.must(within(attacker.NetnsPath, leadLoopbackOut))
			w.staysClosed("with the table", w.from(attacker), victim)
			tx := w.begin()
			tx.conn.DelTable(tx.t)
			w.must(tx.commit())
			w.staysClosed("after the flush", w.from(attacker), victim)
			_, err := w.repair()
			w.must(err)
			if id, _, err := ask(w.client, "tcp", published); id != "victim" {
				t.Errorf("after the repair: %q, %v", id, err)
			}
			w.tearDown()
		})
	}
}

// leadLoopbackOut has a container send what is for 127.0.0.1 to its gateway.
func leadLoopbackOut() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName(inside)
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(lo, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("127.0.0.1/8"))}); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+inside+"/route_localnet", []byte("1"), 0o644); err != nil {
		return err
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Gw != nil {
			return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: r.Gw, Src: r.Src, Dst: ipNet(netip.MustParsePrefix("127.0.0.0/8"))})
		}
	}
	return errors.New("the container has no gateway")
}

// staysClosed has the attacker try the host's loopback and the victim, and the
// outside try the victim's unpublished port.
func (w *world) staysClosed(when string, attacker int, victim Endpoint) {
	w.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:9000")
	w.must(err)
	defer l.Close()
	u, err := net.ListenPacket("udp4", "127.0.0.1:9000")
	w.must(err)
	defer u.Close()
	for _, try := range []struct {
		name string
		from int
		to   string
	}{
		{"a container, the host's loopback", attacker, "127.0.0.1:9000"},
		{"a container, one of another network", attacker, victim.Address.String() + ":80"},
		{"the outside, a container", w.client, victim.Address.String() + ":80"},
	} {
		if c, err := dialFor(try.from, "tcp", try.to, 300*time.Millisecond); err == nil {
			c.Close()
			w.t.Errorf("%s: %s is reached", when, try.name)
		}
	}
	c, err := dial(attacker, "udp", "127.0.0.1:9000")
	w.must(err)
	defer c.Close()
	_, _ = c.Write([]byte("forged")) // refused or lost: both are right
	if got, ok := received(u); ok {
		w.t.Errorf("%s: the host's loopback gets %q from a container", when, got)
	}
}

// received is what comes to a socket within a moment.
func received(u net.PacketConn) (string, bool) {
	b := make([]byte, 200)
	if err := u.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return "", false
	}
	size, from, err := u.ReadFrom(b)
	return fmt.Sprint(string(b[:size]), " from ", from), err == nil
}

// TestForgedSenders has a container send with the address of another network's
// container, of the host's network, and of its own: only the last arrives. It
// does so also where the host's rp_filter lets forged senders pass, and when the
// table is away.
func TestForgedSenders(t *testing.T) {
	for _, c := range []struct {
		name  string
		loose bool
		flush bool
	}{{"strict", false, false}, {"loose", true, false}, {"flushed", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if c.loose {
				const path = "/proc/sys/net/ipv4/conf/all/rp_filter"
				w.must(os.WriteFile(path, []byte("2"), 0o644))
				t.Cleanup(func() { w.must(os.WriteFile(path, []byte("0"), 0o644)) })
			}
			other, attacker := w.attach("shop-prod", "other"), w.attach("shop-test", "attacker")
			u, err := net.ListenPacket("udp4", hostAddress.String()+":9000")
			w.must(err)
			defer u.Close()
			if c.flush {
				tx := w.begin()
				tx.conn.DelTable(tx.t)
				w.must(tx.commit())
			}
			for _, sender := range []netip.Addr{other.Address, netip.MustParseAddr("192.0.2.77"), attacker.Address} {
				w.must(within(attacker.NetnsPath, func() error { return sendAs(sender, hostAddress, 9000) }))
				got, arrived := received(u)
				if own := sender == attacker.Address; arrived != own {
					t.Errorf("sent as %v: arrived: %v (%s)", sender, arrived, got)
				}
			}
			w.tearDown()
		})
	}
}

// sendAs sends a UDP packet with another's address.
func sendAs(from, to netip.Addr, port uint16) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	packet := []byte{0x45, 0, 0, 32, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	packet = append(append(packet, from.AsSlice()...), to.AsSlice()...)
	packet = append(packet, 0x30, 0x39, byte(port>>8), byte(port), 0, 12, 0, 0, 'h', 'i', '!', '\n')
	return unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: to.As4()})
}
