package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// layout is what of the table depends on the state.
type layout struct {
	base      int // how many of the chains that the kernel calls there are
	addresses map[netip.Addr]bool
	sources   map[place]bool
	metadata  map[netip.Addr]bool
	bridges   map[string]bool
	outward   map[string]bool
	ports     map[listener]bool
	services  map[netip.Addr]string // address of a service → name of its chain
	published map[listener]string   // → name of its chain
	chains    map[string]chain      // by name
}

// chain is what a chain of a service does with new connections.
type chain struct {
	from []netip.Prefix   // takes only those of these clients, or of all where there are none
	to   []netip.AddrPort // takes them in turn; port 0 is the one that the client asked for
}

func (c chain) equal(o chain) bool { return slices.Equal(c.from, o.from) && slices.Equal(c.to, o.to) }

// place is a container's: its address, and the bridge that it is at.
type place struct {
	bridge  string
	address netip.Addr
}

// layoutOf returns what the table should hold.
func layoutOf(s *state) layout {
	l := emptyLayout()
	l.base = baseChainCount
	for _, name := range s.outward {
		l.outward[name] = true
	}
	for _, n := range s.Networks {
		l.bridges[n.Bridge] = true
		for id, a := range n.Addresses {
			l.addresses[a] = true
			l.sources[place{n.Bridge, a}] = true
			if n.Metadata[id] {
				l.metadata[a] = true
			}
		}
	}
	for name := range s.Reserved {
		if p, err := parsePort(name); err == nil { // holdReserved says so of one that is not
			for _, at := range s.listeners(p) {
				l.ports[at] = true
			}
		}
	}
	for _, svc := range s.Services {
		l.add(svc, s)
	}
	return l
}

func emptyLayout() layout {
	return layout{
		addresses: map[netip.Addr]bool{}, sources: map[place]bool{}, metadata: map[netip.Addr]bool{}, bridges: map[string]bool{}, outward: map[string]bool{}, ports: map[listener]bool{},
		services: map[netip.Addr]string{}, published: map[listener]string{}, chains: map[string]chain{},
	}
}

// add adds the chains of a service, and what leads to them. A port leads to
// the service that has it.
func (l layout) add(svc Service, s *state) {
	name := svc.Key().String()
	l.services[svc.Address] = name
	all := chain{to: []netip.AddrPort{}}
	for _, b := range svc.Backends {
		all.to = append(all.to, netip.AddrPortFrom(b.Address, 0))
	}
	l.chains[name] = all
	for _, p := range svc.published() {
		if s.Reserved[p.String()] != svc.Key() {
			continue
		}
		of := name + "/" + p.String()
		l.chains[of] = svc.behind(p)
		for _, at := range s.listeners(p) {
			l.published[at] = of
		}
	}
}

// readLayout returns what the table holds. What chains do is left out: none
// equals what it should be.
func (tx *transaction) readLayout() (layout, error) {
	l := emptyLayout()
	chains, err := tx.conn.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return l, fmt.Errorf("reading table %s: %w", tableName, err)
	}
	exists := false
	for _, c := range chains {
		if c.Table.Name != tableName {
			continue
		}
		exists = true
		if strings.Contains(c.Name, "/") {
			l.chains[c.Name] = chain{}
		} else {
			l.base++
		}
	}
	if !exists {
		return l, nil
	}
	sets, err := tx.conn.GetSets(tx.t)
	if err != nil {
		return l, fmt.Errorf("reading the sets of table %s: %w", tableName, err)
	}
	read := func(s *nftables.Set, each func(key []byte, chain string)) {
		if !slices.ContainsFunc(sets, func(has *nftables.Set) bool { return has.Name == s.Name }) {
			return // the table of another version
		}
		elements, err := tx.conn.GetSetElements(s)
		if err != nil {
			tx.check(fmt.Errorf("reading set %s: %w", s.Name, err))
		}
		for _, e := range elements {
			each(e.Key, chainIn(e.Val))
		}
	}
	read(tx.addresses, func(k []byte, _ string) { l.addresses[addressOf(k)] = true })
	read(tx.sources, func(k []byte, _ string) { l.sources[placeOf(k)] = true })
	read(tx.metadata, func(k []byte, _ string) { l.metadata[addressOf(k)] = true })
	read(tx.ours, func(k []byte, _ string) { l.bridges[strings.TrimRight(string(k), "\x00")] = true })
	read(tx.outward, func(k []byte, _ string) { l.outward[strings.TrimRight(string(k), "\x00")] = true })
	for _, s := range []*nftables.Set{tx.ports, tx.portsAt} {
		read(s, func(k []byte, _ string) { l.ports[listenerOf(k)] = true })
	}
	read(tx.services, func(k []byte, chain string) { l.services[addressOf(k)] = chain })
	for _, s := range []*nftables.Set{tx.published, tx.publishedAt} {
		read(s, func(k []byte, chain string) { l.published[listenerOf(k)] = chain })
	}
	return l, tx.err
}

// chainIn returns the chain that a verdict jumps to. The library gives the
// verdict of an element as its netlink attributes.
func chainIn(verdict []byte) string {
	for kind, value := range attributesOf(verdict) {
		if kind == unix.NFTA_VERDICT_CHAIN {
			return strings.TrimRight(string(value), "\x00")
		}
	}
	return ""
}

// follow brings the table from one layout to another. Elements and chains that
// are in both stay untouched: a lookup may see the set already after the
// transaction, and the rule still before it.
func (tx *transaction) follow(was, is layout) {
	tx.fillChains(was, is)
	diff(was.addresses, is.addresses, tx.removeAddress, tx.addAddress)
	diff(was.sources, is.sources, func(p place) { tx.remove(tx.sources, placeBytes(p)) }, func(p place) { tx.add(tx.sources, placeBytes(p), "") })
	diff(was.metadata, is.metadata, func(a netip.Addr) { tx.remove(tx.metadata, a.AsSlice()) }, func(a netip.Addr) { tx.add(tx.metadata, a.AsSlice(), "") })
	diff(was.bridges, is.bridges, tx.removeBridge, tx.addBridge)
	diff(was.outward, is.outward, func(name string) { tx.remove(tx.outward, bridgePair(name)[:unix.IFNAMSIZ]) },
		func(name string) { tx.add(tx.outward, bridgePair(name)[:unix.IFNAMSIZ], "") })
	diff(was.ports, is.ports, func(at listener) { tx.remove(tx.portSet(at), listenerBytes(at)) },
		func(at listener) { tx.add(tx.portSet(at), listenerBytes(at), "") })
	diff(was.services, is.services, func(a netip.Addr) { tx.remove(tx.services, a.AsSlice()) },
		func(a netip.Addr) { tx.add(tx.services, a.AsSlice(), is.services[a]) })
	diff(was.published, is.published, func(at listener) { tx.remove(tx.publishedMap(at), listenerBytes(at)) },
		func(at listener) { tx.add(tx.publishedMap(at), listenerBytes(at), is.published[at]) })
	for name := range was.chains {
		if _, ok := is.chains[name]; !ok {
			c := &nftables.Chain{Name: name, Table: tx.t}
			tx.conn.FlushChain(c)
			tx.conn.DelChain(c)
		}
	}
}

// diff calls remove for what is not the same any more, then add for what is
// new or not the same.
func diff[K, V comparable](was, is map[K]V, remove, add func(K)) {
	for k, v := range was {
		if now, ok := is[k]; !ok || now != v {
			remove(k)
		}
	}
	for k, v := range is {
		if before, ok := was[k]; !ok || before != v {
			add(k)
		}
	}
}

func (tx *transaction) remove(s *nftables.Set, key []byte) {
	tx.check(tx.conn.SetDeleteElements(s, []nftables.SetElement{{Key: key}}))
}

func (tx *transaction) add(s *nftables.Set, key []byte, chain string) {
	e := nftables.SetElement{Key: key}
	if chain != "" {
		e.VerdictData = &expr.Verdict{Kind: expr.VerdictJump, Chain: chain}
	}
	tx.check(tx.conn.SetAddElements(s, []nftables.SetElement{e}))
}

func (tx *transaction) addAddress(a netip.Addr) {
	tx.add(tx.addresses, a.AsSlice(), "")
	tx.add(tx.itself, twice(a), "")
}

func (tx *transaction) removeAddress(a netip.Addr) {
	tx.remove(tx.addresses, a.AsSlice())
	tx.remove(tx.itself, twice(a))
}

func (tx *transaction) addBridge(name string) {
	pair := bridgePair(name)
	tx.add(tx.ours, pair[:len(pair)/2], "")
	tx.add(tx.bridges, pair, "")
}

func (tx *transaction) removeBridge(name string) {
	pair := bridgePair(name)
	tx.remove(tx.ours, pair[:len(pair)/2])
	tx.remove(tx.bridges, pair)
}

// fillChains adds the chains that are new and gives those that differ their
// rules.
func (tx *transaction) fillChains(was, is layout) {
	for _, name := range slices.Sorted(maps.Keys(is.chains)) {
		c := is.chains[name]
		before, exists := was.chains[name]
		if exists && before.to != nil && before.equal(c) {
			continue
		}
		var rules [][]expr.Any
		if len(c.from) > 0 {
			rules = append(rules, leaveOthers(c.from))
		}
		for i, a := range c.to {
			rules = append(rules, translate(a, len(c.to)-i))
		}
		tx.chain(&nftables.Chain{Name: name, Table: tx.t}, rules...)
	}
}

// leaveOthers leaves the chain with clients of other networks: the port refuses
// them like one that nothing serves.
func leaveOthers(from []netip.Prefix) []expr.Any {
	var exprs []expr.Any
	for _, p := range from {
		exprs = append(exprs, in(source(reg1), p, expr.CmpOpNeq)...)
	}
	return append(exprs, &expr.Verdict{Kind: expr.VerdictReturn})
}

// translate takes every n-th connection that comes to it. In a chain with n
// counting down to 1 each of its rules gets the same number, in turn. It works
// without a map, because a map could change under the rule.
func translate(to netip.AddrPort, n int) []expr.Any {
	var exprs []expr.Any
	if n > 1 {
		exprs = compare(&expr.Numgen{Register: reg1, Modulus: uint32(n), Type: unix.NFT_NG_INCREMENTAL}, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(0))
	}
	exprs = append(exprs, &expr.Immediate{Register: reg1, Data: to.Addr().AsSlice()})
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1}
	if to.Port() != 0 {
		exprs = append(exprs, &expr.Immediate{Register: reg2, Data: binaryutil.BigEndian.PutUint16(to.Port())})
		nat.RegProtoMin, nat.Specified = reg2, true
	}
	return append(exprs, nat)
}

// Keys of the sets, and back.

func twice(a netip.Addr) []byte { return append(a.AsSlice(), a.AsSlice()...) }

func addressOf(key []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(key) // a key of another length is no address: it equals none, and is removed
	return a
}

func placeBytes(p place) []byte {
	b := make([]byte, unix.IFNAMSIZ, unix.IFNAMSIZ+v4Len)
	copy(b, p.bridge)
	return append(b, p.address.AsSlice()...)
}

func placeOf(key []byte) place {
	if len(key) != unix.IFNAMSIZ+v4Len {
		return place{}
	}
	return place{strings.TrimRight(string(key[:unix.IFNAMSIZ]), "\x00"), addressOf(key[unix.IFNAMSIZ:])}
}

func bridgePair(name string) []byte {
	b := make([]byte, 2*unix.IFNAMSIZ)
	copy(b, name)
	copy(b[unix.IFNAMSIZ:], name)
	return b
}

// portSet and publishedMap are those of listeners at all addresses, or at one.

func (t *table) portSet(l listener) *nftables.Set {
	if l.Address.IsValid() {
		return t.portsAt
	}
	return t.ports
}

func (t *table) publishedMap(l listener) *nftables.Set {
	if l.Address.IsValid() {
		return t.publishedAt
	}
	return t.published
}

// listenerBytes is protocol . port, or address . protocol . port, of 4 bytes
// each.
func listenerBytes(l listener) []byte {
	var key []byte
	if l.Address.IsValid() {
		key = l.Address.AsSlice()
	}
	protocol := byte(unix.IPPROTO_TCP)
	if l.Protocol == "udp" {
		protocol = unix.IPPROTO_UDP
	}
	key = append(key, protocol, 0, 0, 0)
	return append(append(key, binaryutil.BigEndian.PutUint16(l.Number)...), 0, 0)
}

func listenerOf(key []byte) listener {
	var l listener
	if len(key) == 12 {
		l.Address, key = addressOf(key[:4]), key[4:]
	}
	if len(key) != 8 {
		return listener{}
	}
	l.Protocol, l.Number = "tcp", binaryutil.BigEndian.Uint16(key[4:6])
	if key[0] == unix.IPPROTO_UDP {
		l.Protocol = "udp"
	}
	return l
}
