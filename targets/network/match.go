package network

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers: the 16-byte register 1 is made of the 4-byte ones 8 to 11,
// register 2 of 12 to 15. A concatenated key starts a new 4-byte register for
// each part.
const (
	reg1  = unix.NFT_REG_1
	reg2  = unix.NFT_REG_2
	reg8  = unix.NFT_REG32_00
	reg9  = unix.NFT_REG32_01
	reg10 = unix.NFT_REG32_02
	v4Len = 4
)

// bridgePrefix begins the name of every bridge of dray.
const bridgePrefix = "dray"

// rule strings the parts of a rule together.
func rule(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func one(e expr.Any) []expr.Any { return []expr.Any{e} }

// compare is a load into register 1 and a comparison with it.
func compare(load expr.Any, op expr.CmpOp, value []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: op, Register: reg1, Data: value}}
}

// fromBridge matches what comes from one of dray's bridges. They are looked up
// and not told by their names: others begin like that too.
func (t *table) fromBridge() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, lookup(t.ours)}
}

func (t *table) toBridge() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, lookup(t.ours)}
}

// outwards matches what leaves by an interface to other hosts.
func (t *table) outwards() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, lookup(t.outward)}
}

// mark is what packets carry that dray allows, in the bits of markMask. The
// lower bits are left to others, such as Kubernetes.
const (
	mark     = 0x0d7a0000
	markMask = 0xffff0000
)

// setMark marks a packet, clearMark takes the mark from it.
func setMark() []expr.Any   { return markWith(mark) }
func clearMark() []expr.Any { return markWith(0) }

func markWith(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
		&expr.Bitwise{
			SourceRegister: reg1, DestRegister: reg1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(^uint32(markMask)), Xor: binaryutil.NativeEndian.PutUint32(bits),
		},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true},
	}
}

func (t *table) notToBridge() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1},
		&expr.Lookup{SourceRegister: reg1, SetName: t.ours.Name, SetID: t.ours.ID, Invert: true},
	}
}

// withinOneNetwork matches when the interfaces of entry and exit are the same
// bridge.
func withinOneNetwork(pairs *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg2},
		&expr.Lookup{SourceRegister: reg1, SetName: pairs.Name, SetID: pairs.ID},
	}
}

// placed matches when the interface of entry and an address of the packet are
// in the set together, or with without, when they are not.
func placed(s *nftables.Set, address func(register uint32) expr.Any, without bool) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		address(reg2),
		&expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID, Invert: without},
	}
}

func source(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: v4Len}
}

func destination(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: v4Len}
}

// in matches when the address that load puts in register 1 is in the prefix.
func in(load expr.Any, p netip.Prefix, op expr.CmpOp) []expr.Any {
	mask := binaryutil.BigEndian.PutUint32(^uint32(0) << (32 - p.Bits()))
	return []expr.Any{
		load,
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: v4Len, Mask: mask, Xor: make([]byte, v4Len)},
		&expr.Cmp{Op: op, Register: reg1, Data: p.Addr().AsSlice()},
	}
}

// originalDestination loads the address that the client of a connection asked
// for, before it was translated.
func originalDestination() expr.Any {
	return &expr.Ct{Key: expr.CtKeyDST, Register: reg1, Direction: 0}
}

// hasBits matches when any of the bits is set in a word of the connection
// tracking.
func hasBits(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 4)},
	}
}

// ipsDstNAT is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h.
const ipsDstNAT = 1 << 5

func translated() []expr.Any { return hasBits(expr.CtKeySTATUS, ipsDstNAT) }

func known() []expr.Any {
	return hasBits(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// astray matches a packet that the connection tracking can't place, such as one
// that comes late and out of its window. It is not translated, so whoever gets
// it would answer with a reset, and end a live connection.
func astray() []expr.Any { return hasBits(expr.CtKeySTATE, expr.CtStateBitINVALID) }

func unknown() []expr.Any { return hasBits(expr.CtKeySTATE, expr.CtStateBitNEW) }

// toThisHost matches when the destination is any address of the host,
// loopback included.
func toThisHost() []expr.Any {
	return compare(&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: true}, expr.CmpOpEq, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL))
}

// portKey loads protocol and destination port as a key of the set or map.
func portKey(s *nftables.Set, e *expr.Lookup) []expr.Any {
	e.SourceRegister, e.SetName, e.SetID = reg1, s.Name, s.ID
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg8},
		&expr.Payload{DestRegister: reg9, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		e,
	}
}

// portAtKey loads destination, protocol and port as a key of the set or map.
func portAtKey(s *nftables.Set, e *expr.Lookup) []expr.Any {
	e.SourceRegister, e.SetName, e.SetID = reg1, s.Name, s.ID
	return []expr.Any{
		destination(reg8),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg9},
		&expr.Payload{DestRegister: reg10, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		e,
	}
}

// toPort matches the destination port of TCP and UDP.
func toPort(port uint16) []expr.Any {
	return compare(&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, expr.CmpOpEq, binaryutil.BigEndian.PutUint16(port))
}

func drop() []expr.Any   { return one(&expr.Verdict{Kind: expr.VerdictDrop}) }
func accept() []expr.Any { return one(&expr.Verdict{Kind: expr.VerdictAccept}) }

// refused makes two rules of a match, that answer like a port that nothing
// listens on: a reset for TCP, "port unreachable" otherwise. (A TCP socket can
// miss the latter, and tries again for a second.) They count, so that who asks
// why a connection was refused sees if it was here.
func refused(match ...[]expr.Any) [][]expr.Any {
	tcp := compare(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, expr.CmpOpEq, []byte{unix.IPPROTO_TCP})
	return [][]expr.Any{
		rule(rule(match...), tcp, one(&expr.Counter{}), one(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})),
		rule(rule(match...), one(&expr.Counter{}), one(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3})),
	}
}

func masquerade() []expr.Any { return one(&expr.Masq{}) }
