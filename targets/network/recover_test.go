package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestReboot: everything is made again from the state, with the same
// addresses.
func TestReboot(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("shop-prod", "a"), w.attach("shop-test", "b")
	w.set(web(a))
	hosts := w.Hosts("shop-prod")
	w.reboot()
	w.must(w.Close())
	w.Networks = nil
	w.reopen()
	if again := w.attach("shop-prod", "a"); again != a {
		t.Errorf("%+v, before the reboot %+v", again, a)
	}
	if again := w.attach("shop-test", "b"); again != b {
		t.Errorf("%+v, before the reboot %+v", again, b)
	}
	if got := w.Hosts("shop-prod"); len(got) != 1 || got[0] != hosts[0] {
		t.Errorf("hosts %v, before %v", got, hosts)
	}
	w.serve(a, "a", 80)
	if id, _, err := ask(w.client, "tcp", published); id != "a" {
		t.Errorf("published port: %q, %v", id, err)
	}
}

func TestSubnetsAvoidTheHosts(t *testing.T) {
	w := newWorld(t)
	wire, err := netlink.LinkByName("wire0")
	w.must(err)
	route := func(s string) {
		r := &netlink.Route{LinkIndex: wire.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(s))}
		w.must(netlink.RouteAdd(r))
		t.Cleanup(func() { w.must(netlink.RouteDel(r)) })
	}
	w.must(netlink.AddrAdd(wire, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.209.0.77/24"))}))
	route("10.209.2.0/23")
	if e := w.attach("n1", "a"); e.Gateway != netip.MustParseAddr("10.209.1.1") {
		t.Errorf("%+v, want it in 10.209.1.0/24", e)
	}
	if e := w.attach("n2", "b"); e.Gateway != netip.MustParseAddr("10.209.4.1") {
		t.Errorf("%+v, want it in 10.209.4.0/24", e)
	}
	route("10.0.0.0/8")
	if e := w.attach("n3", "c"); e.Gateway != netip.MustParseAddr("172.29.0.1") {
		t.Errorf("%+v, want it in 172.29.0.0/24", e)
	}
}

func TestAddressesRest(t *testing.T) {
	w := newWorld(t)
	w.attach("n", "keep")
	a := w.attach("n", "a")
	w.must(w.Detach(t.Context(), "a"))
	if b := w.attach("n", "b"); b.Address == a.Address {
		t.Errorf("%v was given again at once", b.Address)
	}
}

func TestNextFree(t *testing.T) {
	p := netip.MustParsePrefix("10.0.0.0/29") // .1 to .6
	taken := map[netip.Addr]bool{}
	start := netip.MustParseAddr("10.0.0.4")
	for _, want := range []string{"10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		a, err := nextFree(p, start, func(a netip.Addr) bool { return taken[a] })
		if err != nil || a.String() != want {
			t.Errorf("%v, %v; want %s", a, err, want)
		}
		taken[a] = true
		start = a.Next()
	}
	if a, err := nextFree(p, start, func(a netip.Addr) bool { return taken[a] }); err == nil {
		t.Errorf("%v from a full prefix", a)
	}
}

func TestReadOnlySysctl(t *testing.T) {
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""); err != nil {
			return err
		}
		if err := unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return err
		}
		return allowForwarding()
	})
	if os.Geteuid() == 0 && (err == nil || !strings.Contains(err.Error(), "/proc/sys is read-only")) {
		t.Errorf("forwarding with a read-only /proc/sys: %v", err)
	}
}

func BenchmarkAttach(b *testing.B) {
	w := newWorld(b)
	w.attach("n", "keep") // the bridge is there, as it is for all but the first
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint(i)
		w.attach("n", id)
		b.StopTimer()
		w.must(w.Detach(b.Context(), id))
		b.StartTimer()
	}
}

func BenchmarkSwitch(b *testing.B) {
	w := newWorld(b)
	old, now := w.attach("shop-prod", "old"), w.attach("shop-prod", "new")
	for i := range 50 { // others on the host
		w.set(Service{Network: "n", Name: fmt.Sprint("s", i), Ports: []Port{{Protocol: "tcp", To: 80, Publish: uint16(9000 + i)}}, Backends: []Backend{{Address: old.Address}}})
	}
	var kernel time.Duration
	services := []Service{web(old), web(now)}
	w.set(services[0])
	n := 0
	for b.Loop() {
		n++
		w.set(services[n%2])
		b.StopTimer()
		n++
		start := time.Now()
		w.mu.Lock()
		_, err := w.apply(Change{Set: services[n%2 : n%2+1]}, keepAll)
		w.mu.Unlock()
		w.must(err)
		kernel += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(kernel.Microseconds())/float64(n/2), "µs-without-fsync/op")
}

// TestRulesAreFlushed: someone else takes dray's table away.
func TestRulesAreFlushed(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "a")
	w.serve(e, "a", 80)
	w.set(web(e))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	for range 2 {
		tx := w.begin()
		tx.conn.DelTable(tx.t)
		w.must(tx.commit())
		deadline := time.Now().Add(5 * time.Second)
		for id := ""; id != "a"; id, _, _ = ask(w.client, "tcp", published) {
			if time.Now().After(deadline) {
				t.Fatal("the rules were not put back")
			}
		}
	}
	stop()
	w.must(<-done)
	if was, err := w.begin().readLayout(); err != nil || !was.sameKeys(layoutOf(w.state)) {
		t.Errorf("it would be put back again and again: %+v, %v", was, err)
	}
}

// TestSweep: what an agent made and did not note before it died goes, and a
// network of the same name does not inherit its address.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	w.attach("kept", "k")
	w.attach("lost", "l")
	delete(w.state.Networks, "lost")
	w.must(w.file.put(w.state))
	w.must(w.file.write())
	w.reopen()
	if _, err := netlink.LinkByName(bridgeName("lost")); !missingLink(err) {
		t.Errorf("the lost bridge: %v", err)
	}
	if _, err := netlink.LinkByName(outside("l")); !missingLink(err) {
		t.Errorf("the lost container's interface: %v", err)
	}
	if _, err := netlink.LinkByName(bridgeName("kept")); err != nil {
		t.Error(err)
	}
	w.state.Networks["kept"].Prefix = netip.MustParsePrefix("10.209.77.0/24")
	w.must(makeBridge(w.state.Networks["kept"]))
	link, err := netlink.LinkByName(bridgeName("kept"))
	w.must(err)
	list, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if len(list) != 1 || list[0].IP.String() != "10.209.77.1" || err != nil {
		t.Errorf("addresses %v, %v", list, err)
	}
}

// TestTableOfAnotherVersion: what an older agent left, with fewer sets and
// other rules, becomes this one's table.
func TestTableOfAnotherVersion(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "a")
	w.serve(e, "a", 80)
	w.set(web(e))
	tx := w.begin()
	tx.conn.DelTable(tx.t)
	tx.conn.AddTable(tx.t)
	w.must(tx.conn.AddSet(tx.bridges, nil))
	tx.add(tx.bridges, bridgePair(bridgeName("shop-prod")), "")
	tx.chain(&nftables.Chain{Name: "forward", Table: tx.t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter}, drop())
	tx.chain(&nftables.Chain{Name: "shop-prod/gone", Table: tx.t})
	w.must(tx.commit())
	w.reopen()
	if id, _, err := ask(w.client, "tcp", published); id != "a" {
		t.Errorf("published port: %q, %v", id, err)
	}
	was, err := w.begin().readLayout()
	if err != nil || !was.sameKeys(layoutOf(w.state)) {
		t.Errorf("%+v, %v", was, err)
	}
}

// TestBridgesOfOthers: an interface whose name begins like dray's is none of
// its own.
func TestBridgesOfOthers(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "lab")
	ns, err := newNamespace(path)
	w.must(err)
	defer func() { w.must(errors.Join(unix.Close(ns), unix.Unmount(path, unix.MNT_DETACH))) }()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags = "draylab0", net.FlagUp
	w.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "inner", PeerNamespace: netlink.NsFd(ns)}))
	defer func() { w.must(removeLink("draylab0")) }()
	lab := netip.MustParseAddr("198.51.100.1")
	w.must(address("draylab0", lab))
	var l net.Listener
	w.must(inNamespace(ns, func() (err error) {
		if err = address("inner", lab.Next()); err != nil {
			return err
		}
		if err = netlink.RouteAdd(&netlink.Route{Gw: lab.AsSlice()}); err != nil {
			return err
		}
		l, err = net.Listen("tcp4", ":80")
		return err
	}))
	defer l.Close()
	w.reopen()
	for name, from := range map[string]int{"the outside": w.client, "a container": w.from(w.attach("n", "a"))} {
		c, err := dial(from, "tcp", "198.51.100.2:80")
		if err != nil {
			t.Errorf("from %s: %v", name, err)
			continue
		}
		c.Close()
	}
}

// TestUpgradeCutsNothing takes away what this version has beside the ones before
// it, and has connections live through the agent that brings it: from outside, by
// the loopback, and between containers.
func TestUpgradeCutsNothing(t *testing.T) {
	w := newWorld(t)
	e, peer := w.attach("shop-prod", "a"), w.attach("shop-prod", "peer")
	w.serve(e, "a", 80)
	w.set(web(e))
	tx := w.begin()
	for _, name := range []string{"guard", "prerouting", "output", "input", "arriving", "leaving"} {
		tx.conn.FlushChain(&nftables.Chain{Name: name, Table: tx.t})
	}
	for _, name := range []string{"arriving", "leaving"} {
		tx.conn.DelChain(&nftables.Chain{Name: name, Table: tx.t})
	}
	for _, set := range []*nftables.Set{tx.sources, tx.portsAt, tx.publishedAt} {
		tx.conn.DelSet(set)
	}
	find := rule(toThisHost(), portKey(tx.published, &expr.Lookup{IsDestRegSet: true}))
	for _, chain := range []string{"prerouting", "output"} {
		tx.conn.AddRule(&nftables.Rule{Table: tx.t, Chain: &nftables.Chain{Name: chain, Table: tx.t}, Exprs: find})
	}
	w.must(errors.Join(tx.commit(), closeRoutes(nil)))
	conns := map[string]net.Conn{}
	for name, c := range map[string]struct {
		from int
		to   string
	}{"outside": {w.client, published}, "loopback": {host, "127.0.0.1:8000"}, "container": {w.from(peer), e.Address.String() + ":80"}} {
		conn, err := dial(c.from, "tcp", c.to)
		w.must(err)
		defer conn.Close()
		if id, _, err := greeting(conn); id != "a" {
			t.Fatalf("%s: %q, %v", name, id, err)
		}
		conns[name] = conn
	}
	w.reopen()
	for name, c := range conns {
		if err := echo(c); err != nil {
			t.Errorf("%s: the connection was cut: %v", name, err)
		}
	}
	if was, err := w.begin().readLayout(); err != nil || !was.sameKeys(layoutOf(w.state)) {
		t.Errorf("%+v, %v", was, err)
	}
}
