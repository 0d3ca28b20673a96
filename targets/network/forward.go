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
	"github.com/google/nftables/expr"
)

// The chains of iptables (its nftables variant) that a forwarded packet meets
// beside dray's. DOCKER-USER is Docker's place for the rules of others, and
// kept by it.
const (
	foreignTable   = "filter"
	foreignForward = "FORWARD"
	dockerUser     = "DOCKER-USER"
)

// openForeignForward lets packets of dray's bridges pass a FORWARD chain of
// iptables whose policy is to drop: two rules, "-i dray+" and "-o dray+" ACCEPT,
// inserted first, into DOCKER-USER where that is. It does nothing where they
// are, or where nothing drops. The error names every other obstacle.
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
		case c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop && seesIPv4(c):
			dropping = append(dropping, c)
		}
	}
	for _, c := range dropping {
		if !isIPTables(c) || c.Name != foreignForward {
			obstacles = append(obstacles, fmt.Errorf("chain %s of table %s drops forwarded packets; let it accept those from and to interfaces dray*", c.Name, c.Table.Name))
			continue
		}
		if user != nil {
			c = user
		}
		if err := n.acceptBridges(c); err != nil {
			obstacles = append(obstacles, err)
		}
	}
	return errors.Join(append(obstacles, legacyObstacle())...)
}

func isIPTables(c *nftables.Chain) bool {
	return c.Table.Family == nftables.TableFamilyIPv4 && c.Table.Name == foreignTable
}

func seesIPv4(c *nftables.Chain) bool {
	return c.Table.Family == nftables.TableFamilyIPv4 || c.Table.Family == nftables.TableFamilyINet
}

// acceptBridges inserts the two rules, unless they are there.
func (n *Networks) acceptBridges(c *nftables.Chain) error {
	rules, err := n.conn.GetRules(c.Table, c)
	if err != nil {
		return fmt.Errorf("reading chain %s: %w", c.Name, err)
	}
	tx := n.begin()
	for _, key := range []expr.MetaKey{expr.MetaKeyOIFNAME, expr.MetaKeyIIFNAME} {
		match := compare(&expr.Meta{Key: key, Register: reg1}, expr.CmpOpEq, []byte(bridgePrefix))
		if !slices.ContainsFunc(rules, func(r *nftables.Rule) bool { return beginsWith(r, match) }) {
			tx.conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: rule(match, one(&expr.Counter{}), accept())})
		}
	}
	if err := tx.commit(); err != nil {
		return fmt.Errorf("accepting dray's bridges in chain %s: %w", c.Name, err)
	}
	return nil
}

// beginsWith says whether a rule matches an interface by the same name.
func beginsWith(r *nftables.Rule, match []expr.Any) bool {
	if len(r.Exprs) < 2 {
		return false
	}
	load, ok := r.Exprs[0].(*expr.Meta)
	value, ok2 := r.Exprs[1].(*expr.Cmp)
	return ok && ok2 && load.Key == match[0].(*expr.Meta).Key && bytes.Equal(value.Data, match[1].(*expr.Cmp).Data)
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
		`iptables-legacy -I FORWARD -i dray+ -j ACCEPT && iptables-legacy -I FORWARD -o dray+ -j ACCEPT`)
}
