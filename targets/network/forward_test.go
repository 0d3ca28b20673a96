package network

import (
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
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
		if len(list) != 2 {
			t.Errorf("%d rules in %s, want 2", len(list), rules.Name)
		}
		tx = w.begin()
		tx.conn.DelTable(filter)
		w.must(tx.commit())
		w.tearDown()
	}
}
