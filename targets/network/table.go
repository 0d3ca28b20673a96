package network

import (
	"errors"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// tableName is the one table that dray has, of family ip.
const tableName = "dray"

var (
	portType    = nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	portAtType  = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	pairType    = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
	bridgesType = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)
	placeType   = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIPAddr)
)

// table describes the sets and chains of the table. It holds no state: each
// transaction makes its own.
type table struct {
	t         *nftables.Table
	addresses *nftables.Set // addresses of containers
	metadata  *nftables.Set // addresses of those that may reach the cloud's metadata
	itself    *nftables.Set // address . the same address
	sources   *nftables.Set // bridge . the address of a container at it
	ours      *nftables.Set // bridges
	outward   *nftables.Set // interfaces by which containers reach other hosts
	bridges   *nftables.Set // bridge . the same bridge
	ports     *nftables.Set // published ports, served or not
	portsAt   *nftables.Set // those that are published at one address
	services  *nftables.Set // address of a service → its chain
	published *nftables.Set // published port → its chain

	publishedAt *nftables.Set // address . published port → its chain
}

func newTable() *table {
	t := &nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4}
	set := func(name string, key nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: t, Name: name, KeyType: key, Concatenation: len(nftables.ConcatSetTypeElements(key)) > 1}
	}
	vmap := func(name string, key nftables.SetDatatype) *nftables.Set {
		s := set(name, key)
		s.IsMap, s.DataType = true, nftables.TypeVerdict
		return s
	}
	return &table{
		t:         t,
		addresses: set("addresses", nftables.TypeIPAddr),
		metadata:  set("metadata", nftables.TypeIPAddr),
		itself:    set("itself", pairType),
		sources:   set("sources", placeType),
		ours:      set("ours", nftables.TypeIFName),
		outward:   set("outward", nftables.TypeIFName),
		bridges:   set("bridges", bridgesType),
		ports:     set("ports", portType),
		portsAt:   set("ports_at", portAtType),
		services:  vmap("services", nftables.TypeIPAddr),
		published: vmap("published", portType),

		publishedAt: vmap("published_at", portAtType),
	}
}

// transaction collects messages that take effect together, or not at all.
type transaction struct {
	*table
	networks *Networks
	conn     *nftables.Conn
	err      error
}

// begin starts a transaction.
func (n *Networks) begin() *transaction {
	return &transaction{table: newTable(), networks: n, conn: n.conn}
}

// commit sends everything in one batch.
func (tx *transaction) commit() error {
	err := tx.err
	if err == nil {
		err = tx.conn.Flush()
	}
	if err != nil {
		// Messages that were not sent, or answers that were not read, must not
		// meet the next transaction.
		err = errors.Join(err, tx.conn.CloseLasting(), tx.networks.dial())
	}
	return err
}

// dial opens the netlink socket of the transactions. Closing one waits for the
// kernel to free what was removed by it, some 10 ms: so it stays open.
func (n *Networks) dial() (err error) {
	n.conn, err = nftables.New(nftables.AsLasting())
	return err
}

func (tx *transaction) check(err error) {
	if tx.err == nil && err != nil {
		tx.err = err
	}
}

// frame adds what does not depend on the state: the table, its sets, and the
// chains that the kernel calls. Where they exist they stay, and get the rules
// anew. Deleting and adding them would leave a moment in which a packet meets
// neither: the new chain comes before the old one, and may be passed while it
// is not yet on and the old one while it is off already.
func (tx *transaction) frame(vips netip.Prefix) {
	tx.conn.AddTable(tx.t)
	for _, set := range []*nftables.Set{tx.addresses, tx.metadata, tx.itself, tx.sources, tx.ours, tx.outward, tx.bridges, tx.ports, tx.portsAt, tx.services, tx.published, tx.publishedAt} {
		tx.check(tx.conn.AddSet(set, nil))
	}
	tx.baseChains(vips)
}

// baseChainCount is how many chains baseChains adds.
const baseChainCount = 9

func (tx *transaction) baseChains(vips netip.Prefix) {
	filter, nat := nftables.ChainTypeFilter, nftables.ChainTypeNAT
	base := func(name string, typ nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
		tx.chain(&nftables.Chain{Name: name, Table: tx.t, Type: typ, Hooknum: hook, Priority: priority}, rules...)
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	find := [][]expr.Any{
		{destination(reg1), &expr.Lookup{SourceRegister: reg1, SetName: tx.services.Name, SetID: tx.services.ID, IsDestRegSet: true}},
		rule(toThisHost(), portAtKey(tx.publishedAt, &expr.Lookup{IsDestRegSet: true})),
		rule(toThisHost(), portKey(tx.published, &expr.Lookup{IsDestRegSet: true})),
	}
	// Clouds give the host's credentials to whoever asks at a link-local address.
	// They have nameservers there, too: those stay within reach.
	linkLocal := netip.MustParsePrefix("169.254.0.0/16")
	toLinkLocal := rule(tx.fromBridge(), in(destination(reg1), linkLocal, expr.CmpOpEq))
	// A container sends with its own address only. And where route_localnet lets
	// the host's loopback reach containers, they don't reach it.
	base("guard", filter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw,
		append([][]expr.Any{
			rule(tx.fromBridge(), placed(tx.sources, source, true), drop()),
			rule(tx.fromBridge(), in(destination(reg1), loopback, expr.CmpOpEq), drop()),
			rule(toLinkLocal, toPort(53), accept()),
			rule(toLinkLocal, []expr.Any{source(reg1), lookup(tx.metadata)}, accept()),
		}, refused(toLinkLocal)...)...)
	// What comes from outside for 127.0.0.1 is not translated: routing drops it.
	// A service that nothing serves is refused before the host looks for a
	// route, which it may not have. (Linux 5.9 and later can do that here.)
	base("prerouting", nat, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest,
		append(append([][]expr.Any{rule(in(destination(reg1), loopback, expr.CmpOpEq), accept())}, find...), refused(tx.fromBridge(), in(destination(reg1), vips, expr.CmpOpEq))...)...)
	base("output", nat, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, find...)
	base("postrouting", nat, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource,
		rule([]expr.Any{source(reg8), destination(reg9), lookup(tx.itself)}, masquerade()),
		rule(tx.toBridge(), in(source(reg1), loopback, expr.CmpOpEq), masquerade()),
		rule(tx.notToBridge(), []expr.Any{source(reg1), lookup(tx.addresses)}, masquerade()))
	// What is allowed gets a mark that the host's own firewall is asked to let
	// pass. Whatever else comes from a bridge, to another program's containers
	// for one, is the host's firewall's to judge.
	allow := func(match ...[]expr.Any) []expr.Any { return rule(rule(match...), setMark()) }
	toContainer := []expr.Any{destination(reg1), lookup(tx.addresses)}
	notToContainer := []expr.Any{destination(reg1), &expr.Lookup{SourceRegister: reg1, SetName: tx.addresses.Name, SetID: tx.addresses.ID, Invert: true}}
	// The host's routes to containers are closed to what has no mark
	// (routing.go), so the mark is there before a route is looked for. What leaves
	// a network gets it too: its answer's way is looked for at once. The chain
	// mark takes it back where the host's firewall shall judge.
	base("arriving", filter, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest+1),
		allow(toContainer, known()),
		allow(toContainer, translated(), in(originalDestination(), vips, expr.CmpOpNeq)),
		allow(placed(tx.sources, destination, false)),
		allow(tx.fromBridge(), in(destination(reg1), loopback, expr.CmpOpEq), known()),
		allow(tx.fromBridge(), notToContainer, in(destination(reg1), loopback, expr.CmpOpNeq)))
	base("leaving", filter, nftables.ChainHookOutput, nftables.ChainPriorityMangle,
		allow(in(source(reg1), loopback, expr.CmpOpEq), toThisHost(), portAtKey(tx.portsAt, &expr.Lookup{})),
		allow(in(source(reg1), loopback, expr.CmpOpEq), toThisHost(), portKey(tx.ports, &expr.Lookup{})))
	base("mark", filter, nftables.ChainHookForward, nftables.ChainPriorityMangle,
		rule(tx.fromBridge(), clearMark()),
		allow(tx.fromBridge(), known()),
		allow(tx.toBridge(), known()),
		allow(withinOneNetwork(tx.bridges)),
		allow(tx.toBridge(), translated(), in(originalDestination(), vips, expr.CmpOpNeq)),
		allow(tx.fromBridge(), tx.outwards()))
	base("forward", filter, nftables.ChainHookForward, nftables.ChainPriorityFilter,
		rule(tx.fromBridge(), astray(), drop()),
		rule(known(), accept()),
		rule(withinOneNetwork(tx.bridges), accept()),
		rule(tx.toBridge(), translated(), in(originalDestination(), vips, expr.CmpOpNeq), accept()), // through a published port
		rule(tx.toBridge(), drop()))
	// A published port that nothing serves. Refusing it here also keeps a UDP
	// flow from being tracked as one to the host, and so from missing the
	// container that serves later.
	var input [][]expr.Any
	for _, published := range [][]expr.Any{portKey(tx.ports, &expr.Lookup{}), portAtKey(tx.portsAt, &expr.Lookup{})} {
		input = append(input, rule(astray(), toThisHost(), published, drop()))
		input = append(input, refused(unknown(), toThisHost(), published)...)
	}
	base("input", filter, nftables.ChainHookInput, nftables.ChainPriorityFilter, input...)
}

func lookup(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID}
}

// chain brings a chain to these rules, whether it exists or not.
func (tx *transaction) chain(c *nftables.Chain, rules ...[]expr.Any) {
	tx.conn.AddChain(c)
	tx.conn.FlushChain(c)
	for _, r := range rules {
		tx.conn.AddRule(&nftables.Rule{Table: tx.t, Chain: c, Exprs: r})
	}
}
