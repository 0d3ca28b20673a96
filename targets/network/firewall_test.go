package network

import (
	"testing"

	"github.com/google/nftables"
)

// TestOpenPorts says what other hosts reach past a firewall: not what is at the
// loopback, and not what nothing serves.
func TestOpenPorts(t *testing.T) {
	w := newWorld(t)
	db, web := w.attach("shop-prod", "db"), w.attach("shop-prod", "web")
	w.set(at("db", db, []string{"127.0.0.1", "wire0"}, "10.0.0.0/8"))
	w.set(Service{Network: "shop-prod", Name: "web", Ports: []Port{{Protocol: "tcp", To: 80, Publish: 80}, {Protocol: "tcp", To: 81}}, Backends: []Backend{{Address: web.Address}}})
	w.must(w.Reserve(t.Context(), "shop-prod", "cold", []Port{{Protocol: "tcp", To: 80, Publish: 90}}))
	got := w.OpenPorts()
	if len(got) != 3 || got[0].Number != 80 || got[0].Address.IsValid() || got[1].Address != hostAddress || got[1].Service.Service != "db" || len(got[1].From) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestFirewallIsNamed(t *testing.T) {
	w := newWorld(t)
	named := func(want string) {
		t.Helper()
		if got, err := w.Firewall(); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	named("")
	tx := w.begin()
	filter := tx.conn.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4})
	drop := nftables.ChainPolicyDrop
	tx.conn.AddChain(&nftables.Chain{Name: "INPUT", Table: filter, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	w.must(tx.commit())
	defer func() {
		tx := w.begin()
		tx.conn.DelTable(filter)
		w.must(tx.commit())
	}()
	named("chain INPUT of table filter")
	tx = w.begin()
	tx.conn.AddChain(&nftables.Chain{Name: "ufw-before-input", Table: filter})
	w.must(tx.commit())
	named("ufw")
}
