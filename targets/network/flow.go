package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// flow is an entry of the kernel's connection tracking.
type flow struct {
	protocol uint8
	from, to netip.AddrPort // as the client sees it
	server   netip.AddrPort // who answers
	state    uint8          // TCP only: of enum tcp_conntrack
	status   uint32         // IPS_ bits
	timeout  uint32         // seconds until it is forgotten unless a packet comes
	answers  []byte         // the tuple of its answers as the kernel sent it, to name it in a deletion
	zone     []byte
}

// Attributes that the netlink package has no names for
// (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctaFilter           = 25
	ctaFilterOrigFlags  = 1
	ctaFilterReplyFlags = 2
	ctaFilterIPSource   = 1 << 0
	nlaTypeMask         = 1<<14 - 1 // linux/netlink.h
)

// flowsTo returns the tracked flows that a container answers. The kernel sends
// only those where it can filter (5.8 and later).
func flowsTo(server netip.Addr) ([]flow, error) {
	ip := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	ip.AddRtAttr(nl.CTA_IP_V4_SRC, server.AsSlice())
	reply := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_REPLY, nil)
	reply.AddChild(ip)
	filter := nl.NewRtAttr(unix.NLA_F_NESTED|ctaFilter, nil)
	filter.AddRtAttr(ctaFilterOrigFlags, nl.Uint32Attr(0))
	filter.AddRtAttr(ctaFilterReplyFlags, nl.Uint32Attr(ctaFilterIPSource))
	all, err := dump(reply, filter)
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, f := range all {
		if f.server.Addr() == server {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// dump returns the IPv4 flows that the kernel selects by the attributes.
func dump(attributes ...*nl.RtAttr) ([]flow, error) {
	req := conntrackRequest(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	for _, a := range attributes {
		req.AddData(a)
	}
	messages, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the connection tracking (is nf_conntrack in this kernel?): %w", err)
	}
	var flows []flow
	for _, m := range messages {
		if f, ok := parseFlow(m); ok {
			flows = append(flows, f)
		}
	}
	return flows, nil
}

func conntrackRequest(operation, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|operation, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	return req
}

// forget deletes a flow: its next packet begins a new one. It is named by the
// tuple of its answers. What the client sends may belong to another flow by now,
// to another container: a client that uses the port of a closed connection again
// replaces what was tracked of that one.
func forget(f flow) error {
	req := conntrackRequest(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
	req.AddData(nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_REPLY, f.answers))
	if f.zone != nil {
		req.AddData(nl.NewRtAttr(nl.CTA_ZONE, f.zone))
	}
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) { // it ended by itself
		return fmt.Errorf("letting go of a flow to %v: %w", f.server, err)
	}
	return nil
}

// parseFlow reads a message of the kernel: nfgenmsg and attributes.
func parseFlow(m []byte) (flow, bool) {
	var f flow
	if len(m) < nl.SizeofNfgenmsg {
		return f, false
	}
	var original []byte
	for kind, value := range attributesOf(m[nl.SizeofNfgenmsg:]) {
		switch kind {
		case nl.CTA_TUPLE_ORIG:
			original = value
		case nl.CTA_TUPLE_REPLY:
			f.answers = value
		case nl.CTA_STATUS:
			f.status = bigEndian(value)
		case nl.CTA_TIMEOUT:
			f.timeout = bigEndian(value)
		case nl.CTA_ZONE:
			f.zone = value
		case nl.CTA_PROTOINFO:
			f.state = tcpState(value)
		}
	}
	var ok, ok2 bool
	f.protocol, f.from, f.to, ok = parseTuple(original)
	_, f.server, _, ok2 = parseTuple(f.answers)
	return f, ok && ok2
}

func parseTuple(b []byte) (protocol uint8, from, to netip.AddrPort, ok bool) {
	var source, dest netip.Addr
	var sport, dport uint16
	for kind, value := range attributesOf(b) {
		for inner, v := range attributesOf(value) {
			switch {
			case kind == nl.CTA_TUPLE_IP && inner == nl.CTA_IP_V4_SRC:
				source, _ = netip.AddrFromSlice(v)
			case kind == nl.CTA_TUPLE_IP && inner == nl.CTA_IP_V4_DST:
				dest, _ = netip.AddrFromSlice(v)
			case kind == nl.CTA_TUPLE_PROTO && inner == nl.CTA_PROTO_NUM && len(v) >= 1:
				protocol = v[0]
			case kind == nl.CTA_TUPLE_PROTO && inner == nl.CTA_PROTO_SRC_PORT && len(v) >= 2:
				sport = binary.BigEndian.Uint16(v)
			case kind == nl.CTA_TUPLE_PROTO && inner == nl.CTA_PROTO_DST_PORT && len(v) >= 2:
				dport = binary.BigEndian.Uint16(v)
			}
		}
	}
	return protocol, netip.AddrPortFrom(source, sport), netip.AddrPortFrom(dest, dport), source.Is4() && dest.Is4()
}

func tcpState(protoinfo []byte) uint8 {
	for kind, value := range attributesOf(protoinfo) {
		if kind != nl.CTA_PROTOINFO_TCP {
			continue
		}
		for inner, v := range attributesOf(value) {
			if inner == nl.CTA_PROTOINFO_TCP_STATE && len(v) >= 1 {
				return v[0]
			}
		}
	}
	return 0
}

func bigEndian(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// attributesOf yields the netlink attributes in b, their flags left out, until
// the first that is not whole.
func attributesOf(b []byte) func(yield func(kind int, value []byte) bool) {
	return func(yield func(int, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			length := int(binary.NativeEndian.Uint16(b))
			kind := int(binary.NativeEndian.Uint16(b[2:])) & nlaTypeMask
			if length < unix.SizeofNlAttr || length > len(b) {
				return
			}
			if !yield(kind, b[unix.SizeofNlAttr:length]) {
				return
			}
			b = b[min(len(b), (length+3)&^3):]
		}
	}
}
