package network

import (
	"os"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
)

// TestUninstall leaves nothing of dray in the kernel, and what others have there.
func TestUninstall(t *testing.T) {
	w := newWorld(t)
	drop := nftables.ChainPolicyDrop
	filter := &nftables.Table{Name: foreignTable, Family: nftables.TableFamilyIPv4}
	forward := &nftables.Chain{Name: foreignForward, Table: filter, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop}
	tx := w.begin()
	tx.conn.AddTable(filter)
	tx.conn.AddChain(forward)
	tx.conn.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: []expr.Any{&expr.Counter{}}}) // somebody's own
	w.must(tx.commit())
	w.must(w.Ensure(t.Context(), "shop-prod"))
	if _, err := w.Attach(t.Context(), "shop-prod", "c1"); err != nil {
		t.Fatal(err)
	}
	if err := w.openForeignForward(); err != nil {
		t.Fatal(err)
	}
	before, err := w.conn.GetRules(filter, forward)
	if err != nil || len(before) != 2 {
		t.Fatalf("%d rules in the chain of others (%v), want dray's and theirs", len(before), err)
	}
	w.must(w.Close())

	w.must(Uninstall(w.config.RunDir))
	w.must(Uninstall(w.config.RunDir)) // where nothing is, nothing is done
	conn, err := nftables.New()
	w.must(err)
	tables, err := conn.ListTables()
	w.must(err)
	for _, table := range tables {
		if table.Name == tableName {
			t.Error("the table is left")
		}
	}
	if left, err := conn.GetRules(filter, forward); err != nil || len(left) != 1 || left[0].Handle == before[0].Handle {
		t.Errorf("in the chain of others there are %d rules (%v)", len(left), err)
	}
	links, err := netlink.LinkList()
	w.must(err)
	for _, l := range links {
		if ownBridge.MatchString(l.Attrs().Name) {
			t.Errorf("%s is left", l.Attrs().Name)
		}
	}
	if err := os.RemoveAll(w.config.RunDir); err != nil {
		t.Errorf("the run folder can't be removed: %v", err)
	}
	conn.DelTable(filter)
	w.must(conn.Flush())
	w.reopen() // for the end of the test
}
