package network

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// The chains of iptables (its nftables variant) that a forwarded packet meets
// beside dray's. DOCKER-USER is Docker's place for the rules of others, and
// kept by it.
const (
	foreignTable   = "filter"
	foreignForward = "FORWARD"
	dockerUser     = "DOCKER-USER"
)

// openForeignForward lets packets that dray allows, which carry its mark, pass a
// FORWARD chain of iptables whose policy is to drop: one rule, inserted first,
// into DOCKER-USER where that is. Nothing else passes because of dray. It does
// nothing where the rule is, or where nothing refuses. The error names every other
// obstacle.
func (n *Networks) openForeignForward() error {
	all, err := n.conn.ListChainsOfTableFamily(nftables.TableFamilyUnspecified)
	if err != nil {
		return fmt.Errorf("reading the chains of the host: %w", err)
	}
	var user *nftables.Chain
	var obstacles []error
	var dropping []*nftables.Chain
	for _, c := range all {
		switch {
		case isIPTables(c) && c.Name == dockerUser:
			user = c
		case c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && seesIPv4(c) && c.Table.Name != tableName:
			refuses, err := n.refuses(c)
			if err != nil {
				obstacles = append(obstacles, err)
			}
			if refuses {
				dropping = append(dropping, c)
			}
		}
	}
	for _, c := range dropping {
		if !isIPTables(c) || c.Name != foreignForward {
			obstacles = append(obstacles, fmt.Errorf("chain %s of table %s drops forwarded packets; let it accept those that dray allows: nft insert rule %s %s %s meta mark and 0x%08x == 0x%08x accept",
				c.Name, c.Table.Name, familyWord(c.Table.Family), c.Table.Name, c.Name, markMask, mark))
			continue
		}
		if user != nil {
			c = user
		}
		if err := n.acceptMarked(c); err != nil {
			obstacles = append(obstacles, err)
		}
	}
	return errors.Join(append(obstacles, legacyObstacle())...)
}

// refuses says whether a chain lets nothing pass that no rule of it names: by its
// policy, or by its last rule, as firewalld's and those of older distributions end.
// One that names dray's mark has been told.
func (n *Networks) refuses(c *nftables.Chain) (bool, error) {
	byPolicy := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
	rules, err := n.conn.GetRules(c.Table, c)
	if err != nil {
		return byPolicy, fmt.Errorf("reading chain %s of table %s: %w", c.Name, c.Table.Name, err)
	}
	if !isIPTables(c) && slices.ContainsFunc(rules, namesMark) {
		return false, nil
	}
	return byPolicy || len(rules) > 0 && refusesAll(rules[len(rules)-1]), nil
}

// refusesAll says whether a rule rejects or drops every packet.
func refusesAll(r *nftables.Rule) bool {
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter:
			continue
		case *expr.Reject:
			return true
		case *expr.Target:
			return e.Name == "REJECT"
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		}
		return false
	}
	return false
}

// namesMark says whether a rule of nft compares with dray's mark.
func namesMark(r *nftables.Rule) bool {
	return len(r.Exprs) > 0 && slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		value, ok := e.(*expr.Cmp)
		return ok && value.Op == expr.CmpOpEq && bytes.Equal(value.Data, binaryutil.NativeEndian.PutUint32(mark))
	})
}

func isIPTables(c *nftables.Chain) bool {
	return c.Table.Family == nftables.TableFamilyIPv4 && c.Table.Name == foreignTable
}

func familyWord(f nftables.TableFamily) string {
	if f == nftables.TableFamilyINet {
		return "inet"
	}
	return "ip"
}

func seesIPv4(c *nftables.Chain) bool {
	return c.Table.Family == nftables.TableFamilyIPv4 || c.Table.Family == nftables.TableFamilyINet
}

// acceptMarked inserts the rule, unless it is there, and removes those of older
// agents, which accepted all that came from or went to a bridge.
func (n *Networks) acceptMarked(c *nftables.Chain) error {
	rules, err := n.conn.GetRules(c.Table, c)
	if err != nil {
		return fmt.Errorf("reading chain %s: %w", c.Name, err)
	}
	tx := n.begin()
	there := false
	for _, r := range rules {
		switch {
		case acceptsBridges(r):
			tx.check(tx.conn.DelRule(&nftables.Rule{Table: c.Table, Chain: c, Handle: r.Handle}))
		case matchesMark(r):
			there = true
		}
	}
	if !there {
		tx.conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: rule(markMatch(), one(&expr.Counter{}), accept())})
	}
	if err := tx.commit(); err != nil {
		return fmt.Errorf("accepting dray's packets in chain %s (is the kernel module xt_mark there?): %w", c.Name, err)
	}
	return nil
}

// markMatch matches dray's mark as iptables does, "-m mark --mark
// 0xd7a0000/0xffff0000", so that iptables can list its chain: struct
// xt_mark_mtinfo1 of linux/netfilter/xt_mark.h.
func markMatch() []expr.Any {
	info := make(xt.Unknown, 16) // padded to 8 bytes
	copy(info, binaryutil.NativeEndian.PutUint32(mark))
	copy(info[4:], binaryutil.NativeEndian.PutUint32(markMask))
	return one(&expr.Match{Name: "mark", Rev: 1, Info: &info})
}

func matchesMark(r *nftables.Rule) bool {
	if len(r.Exprs) == 0 {
		return false
	}
	m, ok := r.Exprs[0].(*expr.Match)
	if !ok || m.Name != "mark" {
		return false
	}
	info, ok := m.Info.(*xt.Unknown)
	return ok && len(*info) >= 8 && bytes.Equal((*info)[:8], (*markMatch()[0].(*expr.Match).Info.(*xt.Unknown))[:8])
}

// acceptsBridges says whether a rule is "-i dray+" or "-o dray+" ACCEPT.
func acceptsBridges(r *nftables.Rule) bool {
	if len(r.Exprs) < 2 {
		return false
	}
	load, ok := r.Exprs[0].(*expr.Meta)
	value, ok2 := r.Exprs[1].(*expr.Cmp)
	return ok && ok2 && (load.Key == expr.MetaKeyIIFNAME || load.Key == expr.MetaKeyOIFNAME) &&
		value.Op == expr.CmpOpEq && bytes.Equal(value.Data, []byte(bridgePrefix))
}

// legacyObstacle says what a host with the old iptables must do by hand: its
// tables can't be changed by netlink.
func legacyObstacle() error {
	b, err := os.ReadFile("/proc/net/ip_tables_names")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for rules of iptables-legacy: %w", err)
	}
	if !slices.Contains(strings.Fields(string(b)), foreignTable) {
		return nil
	}
	return errors.New(`this host has rules of iptables-legacy; if its FORWARD chain drops by default, run: ` +
		fmt.Sprintf("iptables-legacy -I FORWARD -m mark --mark 0x%x/0x%x -j ACCEPT", mark, markMask))
}
