package network

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/google/nftables"
)

// Uninstall takes everything of dray's out of this host's kernel: bridges,
// namespaces, the rules in chains of others, and the table. It is for a host
// that no agent runs on and no container is left on. Forwarding stays on: others
// may rely on it by now. namespaces is the folder where those are mounted.
func Uninstall(namespaces string) error {
	n := &Networks{state: &state{}, config: Config{RunDir: namespaces, Log: slog.New(slog.DiscardHandler)}}
	if err := n.dial(); err != nil {
		return fmt.Errorf("removing networks: %w", err)
	}
	err := errors.Join(n.removeAll(), n.conn.CloseLasting())
	if err != nil {
		return fmt.Errorf("removing networks: %w", err)
	}
	return nil
}

func (n *Networks) removeAll() error {
	err := n.sweep() // without a state nothing is known, and all goes
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // no namespace was ever made
	}
	chains, listErr := n.conn.ListChainsOfTableFamily(nftables.TableFamilyUnspecified)
	err = errors.Join(err, listErr)
	there := false
	for _, c := range chains {
		if c.Table.Name == tableName && c.Table.Family == nftables.TableFamilyIPv4 {
			there = true
		}
		if isIPTables(c) && (c.Name == foreignForward || c.Name == dockerUser) {
			err = errors.Join(err, n.withdraw(c))
		}
	}
	if !there {
		return err
	}
	tx := n.begin()
	tx.conn.DelTable(&nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4})
	return errors.Join(err, tx.commit())
}

// withdraw removes dray's rules from a chain of others.
func (n *Networks) withdraw(c *nftables.Chain) error {
	rules, err := n.conn.GetRules(c.Table, c)
	if err != nil {
		return fmt.Errorf("reading chain %s: %w", c.Name, err)
	}
	tx := n.begin()
	ours := 0
	for _, r := range rules {
		if matchesMark(r) || acceptsBridges(r) {
			tx.check(tx.conn.DelRule(&nftables.Rule{Table: c.Table, Chain: c, Handle: r.Handle}))
			ours++
		}
	}
	if ours == 0 {
		return nil
	}
	return tx.commit()
}
