package network

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is the one table that dray has, of family ip.
const tableName = "dray"

var (
	portType    = nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
	backendType = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	pairType    = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
	bridgesType = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)
)

// table describes the sets and chains of the table. It holds no state: each
// transaction makes its own.
type table struct {
	t         *nftables.Table
	addresses *nftables.Set // addresses of containers
	itself    *nftables.Set // address . the same address
	bridges   *nftables.Set // bridge . the same bridge
	ports     *nftables.Set // published ports
	services  *nftables.Set // address of a service → its chain
	published *nftables.Set // published port → its chain
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
		itself:    set("itself", pairType),
		bridges:   set("bridges", bridgesType),
		ports:     set("ports", portType),
		services:  vmap("services", nftables.TypeIPAddr),
		published: vmap("published", portType),
	}
}

// transaction collects messages that take effect together, or not at all.
type transaction struct {
	*table
	conn *nftables.Conn
	err  error
}

// begin starts a transaction. The netlink socket belongs to the network
// namespace of the calling thread.
func begin() *transaction {
	return &transaction{table: newTable(), conn: &nftables.Conn{}}
}

// commit sends everything in one batch.
func (tx *transaction) commit() error {
	if tx.err != nil {
		return tx.err
	}
	return tx.conn.Flush()
}

// rebuild replaces the whole table by what the state says. The kernel goes
// from the old table to the new one between two packets.
func (tx *transaction) rebuild(s *state) {
	tx.conn.AddTable(tx.t) // so that deleting it can't fail
	tx.conn.DelTable(tx.t)
	tx.conn.AddTable(tx.t)
	for _, set := range []*nftables.Set{tx.addresses, tx.itself, tx.bridges, tx.ports, tx.services, tx.published} {
		tx.check(tx.conn.AddSet(set, nil))
	}
	tx.baseChains(s.VIPs)
	for _, n := range s.Networks {
		tx.addBridge(n.Bridge)
		for _, a := range n.Addresses {
			tx.addAddress(a)
		}
	}
	for _, svc := range s.services() {
		tx.setService(Service{}, svc)
	}
	tx.setMaps(s)
}

func (tx *transaction) check(err error) {
	if tx.err == nil && err != nil {
		tx.err = err
	}
}

// baseChains adds the chains that the kernel calls.
func (tx *transaction) baseChains(vips netip.Prefix) {
	filter, nat := nftables.ChainTypeFilter, nftables.ChainTypeNAT
	base := func(name string, typ nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, rules ...[]expr.Any) {
		tx.chain(&nftables.Chain{Name: name, Table: tx.t, Type: typ, Hooknum: hook, Priority: priority}, rules...)
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	find := [][]expr.Any{
		{destination(reg1), &expr.Lookup{SourceRegister: reg1, SetName: tx.services.Name, SetID: tx.services.ID, IsDestRegSet: true}},
		rule(toThisHost(), portKey(tx.published, &expr.Lookup{IsDestRegSet: true})),
	}
	// route_localnet lets the host's loopback reach containers; this keeps
	// containers from reaching the host's loopback.
	base("guard", filter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw,
		rule(fromBridge(), in(destination(reg1), loopback, expr.CmpOpEq), drop()))
	base("prerouting", nat, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, find...)
	base("output", nat, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, find...)
	base("postrouting", nat, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource,
		rule([]expr.Any{source(reg8), destination(reg9), lookup(tx.itself)}, masquerade()),
		rule(toBridge(), in(source(reg1), loopback, expr.CmpOpEq), masquerade()),
		rule(notToBridge(), []expr.Any{source(reg1), lookup(tx.addresses)}, masquerade()))
	base("forward", filter, nftables.ChainHookForward, nftables.ChainPriorityFilter,
		rule(fromBridge(), in(destination(reg1), vips, expr.CmpOpEq), refuse()), // a service that nothing serves
		rule(known(), accept()),
		rule(withinOneNetwork(tx.bridges), accept()),
		rule(toBridge(), translated(), in(originalDestination(), vips, expr.CmpOpNeq), accept()), // through a published port
		rule(toBridge(), drop()))
	// A published port that nothing serves. Refusing it here also keeps a UDP
	// flow from being tracked as one to the host, and so from missing the
	// container that serves later.
	base("input", filter, nftables.ChainHookInput, nftables.ChainPriorityFilter,
		rule(unknown(), toThisHost(), portKey(tx.ports, &expr.Lookup{}), refuse()))
}

func lookup(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID}
}

func (tx *transaction) chain(c *nftables.Chain, rules ...[]expr.Any) {
	tx.conn.AddChain(c)
	for _, r := range rules {
		tx.conn.AddRule(&nftables.Rule{Table: tx.t, Chain: c, Exprs: r})
	}
}

func (tx *transaction) addBridge(name string) {
	key := append(interfaceName(name), interfaceName(name)...)
	tx.check(tx.conn.SetAddElements(tx.bridges, []nftables.SetElement{{Key: key}}))
}

func (tx *transaction) removeBridge(name string) {
	key := append(interfaceName(name), interfaceName(name)...)
	tx.check(tx.conn.SetDeleteElements(tx.bridges, []nftables.SetElement{{Key: key}}))
}

func interfaceName(s string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, s)
	return b
}

func (tx *transaction) addAddress(a netip.Addr) {
	tx.check(tx.conn.SetAddElements(tx.addresses, []nftables.SetElement{{Key: a.AsSlice()}}))
	tx.check(tx.conn.SetAddElements(tx.itself, []nftables.SetElement{{Key: append(a.AsSlice(), a.AsSlice()...)}}))
}

func (tx *transaction) removeAddress(a netip.Addr) {
	tx.check(tx.conn.SetDeleteElements(tx.addresses, []nftables.SetElement{{Key: a.AsSlice()}}))
	tx.check(tx.conn.SetDeleteElements(tx.itself, []nftables.SetElement{{Key: append(a.AsSlice(), a.AsSlice()...)}}))
}

// setMaps replaces what leads into the chains of services.
// A port leads to the service that has it.
func (tx *transaction) setMaps(st *state) {
	var vips, published, ports []nftables.SetElement
	for _, s := range st.services() {
		vips = append(vips, nftables.SetElement{Key: s.Address.AsSlice(), VerdictData: jump(s.Key().String())})
		for _, p := range s.published() {
			if st.Reserved[p.String()] != s.Key() {
				continue
			}
			published = append(published, nftables.SetElement{Key: portBytes(p), VerdictData: jump(chainOf(s, p))})
			ports = append(ports, nftables.SetElement{Key: portBytes(p)})
		}
	}
	for set, elements := range map[*nftables.Set][]nftables.SetElement{tx.services: vips, tx.published: published, tx.ports: ports} {
		tx.conn.FlushSet(set)
		tx.check(tx.conn.SetAddElements(set, elements))
	}
}

func jump(chain string) *expr.Verdict { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

func portBytes(p hostPort) []byte {
	key := make([]byte, 8)
	key[0] = unix.IPPROTO_TCP
	if p.Protocol == "udp" {
		key[0] = unix.IPPROTO_UDP
	}
	copy(key[4:], binaryutil.BigEndian.PutUint16(p.Number))
	return key
}

// chainOf names the chain of one published port of a service.
func chainOf(s Service, p hostPort) string {
	return fmt.Sprintf("%s/%s/%d", s.Key(), p.Protocol, p.Number)
}

// setService brings the chains of a service from what was to what is to be.
// Chains that are gone must not be in the maps any more when it is committed.
func (tx *transaction) setService(was, is Service) {
	tx.balance(is.Key().String(), was.Name != "", addressRule(tx, is.addresses()))
	old := map[hostPort]bool{}
	for _, p := range was.published() {
		old[p] = true
	}
	for _, p := range is.published() {
		tx.balance(chainOf(is, p), old[p], portRule(tx, is.behind(p)))
		delete(old, p)
	}
}

// balance fills a chain with at most one rule.
func (tx *transaction) balance(name string, exists bool, exprs []expr.Any) {
	c := &nftables.Chain{Name: name, Table: tx.t}
	if exists {
		tx.conn.FlushChain(c)
	} else {
		tx.conn.AddChain(c)
	}
	if exprs != nil {
		tx.conn.AddRule(&nftables.Rule{Table: tx.t, Chain: c, Exprs: exprs})
	}
}

// removeChains deletes the chains that was has and is has not. They must have
// left the maps earlier in the same transaction.
func (tx *transaction) removeChains(was, is Service) {
	keep := map[hostPort]bool{}
	for _, p := range is.published() {
		keep[p] = true
	}
	for _, p := range was.published() {
		if !keep[p] {
			tx.removeChain(chainOf(was, p))
		}
	}
	if is.Name == "" && was.Name != "" {
		tx.removeChain(was.Key().String())
	}
}

func (tx *transaction) removeChain(name string) {
	c := &nftables.Chain{Name: name, Table: tx.t}
	tx.conn.FlushChain(c)
	tx.conn.DelChain(c)
}

// addressRule translates the destination address to one of to, in turn. The
// port stays. It is nil when there is none.
func addressRule(tx *transaction, to []netip.Addr) []expr.Any {
	elements := make([]nftables.SetElement, len(to))
	for i, a := range to {
		elements[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: a.AsSlice()}
	}
	return tx.inTurn(nftables.TypeIPAddr, elements, &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1})
}

// portRule translates the destination address and port to one of to, in turn.
// It is nil when there is none.
func portRule(tx *transaction, to []netip.AddrPort) []expr.Any {
	elements := make([]nftables.SetElement, len(to))
	for i, a := range to {
		val := make([]byte, 8)
		copy(val, a.Addr().AsSlice())
		copy(val[4:], binaryutil.BigEndian.PutUint16(a.Port()))
		elements[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: val}
	}
	return tx.inTurn(backendType, elements, &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1, RegProtoMin: reg9, Specified: true})
}

// inTurn takes one element after the other, for each connection the next.
func (tx *transaction) inTurn(data nftables.SetDatatype, elements []nftables.SetElement, then expr.Any) []expr.Any {
	if len(elements) == 0 {
		return nil
	}
	choice := &nftables.Set{Table: tx.t, Anonymous: true, Constant: true, IsMap: true, KeyType: nftables.TypeInteger, DataType: data}
	tx.check(tx.conn.AddSet(choice, elements))
	return []expr.Any{
		&expr.Numgen{Register: reg1, Modulus: uint32(len(elements)), Type: unix.NFT_NG_INCREMENTAL},
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: choice.Name, SetID: choice.ID},
		then,
	}
}
