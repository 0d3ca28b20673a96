package network

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestForeignFirewall: a FORWARD chain as Docker leaves it, with the policy to
// drop and a chain for the rules of others.
func TestForeignFirewall(t *testing.T) {
	for _, withUser := range []bool{false, true} {
		w := newWorld(t)
		e := w.attach("shop-prod", "a")
		w.serve(e, "a", 80)
		w.set(web(e))
		tx := w.begin()
		filter := &nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4}
		drop := nftables.ChainPolicyDrop
		tx.conn.AddTable(filter)
		forward := tx.conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: filter, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
		rules := forward
		if withUser {
			rules = tx.conn.AddChain(&nftables.Chain{Name: dockerUser, Table: filter})
			tx.conn.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: one(&expr.Verdict{Kind: expr.VerdictJump, Chain: dockerUser})})
		}
		w.must(tx.commit())
		if _, _, err := ask(w.client, "tcp", published); err == nil {
			t.Fatal("the foreign chain does not drop: nothing is tested")
		}
		for range 2 { // the second time nothing is added
			w.reopen()
			if id, _, err := ask(w.client, "tcp", published); id != "a" {
				t.Errorf("through the foreign chain: %q, %v", id, err)
			}
		}
		list, err := w.conn.GetRules(filter, rules)
		w.must(err)
		if len(list) != 1 {
			t.Errorf("%d rules in %s, want 1", len(list), rules.Name)
		}
		tx = w.begin()
		tx.conn.DelTable(filter)
		w.must(tx.commit())
		w.tearDown()
	}
}

// TestFirewallThatEndsInReject: chains whose policy is to accept, and whose last
// rule rejects the rest. That of iptables gets dray's rule; of another table the
// obstacle is told, until the rule that it names is there.
func TestFirewallThatEndsInReject(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "a")
	w.serve(e, "a", 80)
	w.set(web(e))
	for table, family := range map[string]nftables.TableFamily{"filter": nftables.TableFamilyIPv4, "firewalld": nftables.TableFamilyINet} {
		tx := w.begin()
		own := tx.conn.AddTable(&nftables.Table{Name: table, Family: family})
		forward := tx.conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: own, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
		tx.conn.AddRule(&nftables.Rule{Table: own, Chain: forward, Exprs: rule(one(&expr.Counter{}), one(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 13}))})
		w.must(tx.commit())
		err := w.openForeignForward()
		if told := err != nil; told != (table == "firewalld") {
			t.Errorf("%s: %v", table, err)
		}
		if table == "firewalld" {
			tx := w.begin()
			allow := rule(compare(&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1}, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(mark)), accept())
			masked := append([]expr.Any{allow[0], &expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4,
				Mask: binaryutil.NativeEndian.PutUint32(markMask), Xor: make([]byte, 4)}}, allow[1:]...)
			tx.conn.InsertRule(&nftables.Rule{Table: own, Chain: forward, Exprs: masked})
			w.must(tx.commit())
			w.must(w.openForeignForward())
		}
		if id, _, err := ask(w.client, "tcp", published); id != "a" {
			t.Errorf("%s: through the chain: %q, %v", table, id, err)
		}
		tx = w.begin()
		tx.conn.DelTable(own)
		w.must(tx.commit())
	}
}

// dropForwarded is a FORWARD chain as ufw and Docker leave it, with the rules
// that an older agent had put there.
func dropForwarded(w *world) (remove func()) {
	tx := w.begin()
	filter := &nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4}
	drop := nftables.ChainPolicyDrop
	tx.conn.AddTable(filter)
	forward := tx.conn.AddChain(&nftables.Chain{Name: "FORWARD", Table: filter, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	for _, key := range []expr.MetaKey{expr.MetaKeyOIFNAME, expr.MetaKeyIIFNAME} {
		match := compare(&expr.Meta{Key: key, Register: reg1}, expr.CmpOpEq, []byte(bridgePrefix))
		tx.conn.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: rule(match, one(&expr.Counter{}), accept())})
	}
	w.must(tx.commit())
	return func() {
		tx := w.begin()
		tx.conn.DelTable(filter)
		w.must(tx.commit())
	}
}

// TestForeignNetworksStayClosed has a container reach for a network of another
// program, which the host's firewall keeps closed, and for another host, which
// it must reach.
func TestForeignNetworksStayClosed(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "foreign")
	fd, err := newNamespace(path)
	w.must(err)
	t.Cleanup(func() {
		if err := errors.Join(unix.Close(fd), unix.Unmount(path, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags = "foreign0", net.FlagUp
	w.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "foreign1", PeerNamespace: netlink.NsFd(fd)}))
	w.must(address("foreign0", netip.MustParseAddr("198.51.100.1")))
	w.must(inNamespace(fd, func() error {
		if err := address("foreign1", netip.MustParseAddr("198.51.100.2")); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(198, 51, 100, 1)})
	}))
	wire, err := netlink.LinkByName("wire0")
	w.must(err)
	w.must(netlink.RouteAdd(&netlink.Route{LinkIndex: wire.Attrs().Index, Gw: clientAddress.AsSlice()}))
	answer := func(ns int, id string) {
		var l net.Listener
		w.must(inNamespace(ns, func() (err error) { l, err = net.Listen("tcp4", ":8080"); return err }))
		done := make(chan error, 1)
		go func() { done <- serveTCP(l, id) }()
		t.Cleanup(func() { l.Close(); <-done })
	}
	answer(fd, "foreign")
	answer(w.client, "outside")
	from := w.from(w.attach("shop-prod", "a"))
	if id, _, err := ask(from, "tcp", "198.51.100.2:8080"); id != "foreign" {
		t.Fatalf("without a firewall: %q, %v; nothing is tested", id, err)
	}
	remove := dropForwarded(w)
	defer remove()
	_, err = w.repair()
	w.must(err)
	if id, _, err := ask(from, "tcp", "198.51.100.2:8080"); err == nil {
		t.Errorf("the network of another program is open: %q answers", id)
	}
	if id, _, err := ask(from, "tcp", "192.0.2.2:8080"); id != "outside" {
		t.Errorf("another host: %q, %v", id, err)
	}
	w.must(netlink.RouteDel(&netlink.Route{LinkIndex: wire.Attrs().Index, Gw: clientAddress.AsSlice()}))
	w.must(removeLink("foreign0"))
}
