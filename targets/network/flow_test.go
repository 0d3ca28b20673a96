package network

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestIsLive(t *testing.T) {
	timeouts := udpTimeouts{30 * time.Second, 120 * time.Second}
	const established, lastAck, timeWait, assured = 3, 6, 7, 1 << 2
	tests := []struct {
		name string
		flow flow
		want bool
	}{
		{"established", flow{protocol: unix.IPPROTO_TCP, state: established}, true},
		{"half closed", flow{protocol: unix.IPPROTO_TCP, state: stateCloseWait}, true},
		{"both closed", flow{protocol: unix.IPPROTO_TCP, state: lastAck}, false},
		{"over", flow{protocol: unix.IPPROTO_TCP, state: timeWait}, false},
		{"udp, just now", flow{protocol: unix.IPPROTO_UDP, timeout: 29}, true},
		{"udp, silent", flow{protocol: unix.IPPROTO_UDP, timeout: 19}, false},
		{"udp stream, 5 s ago", flow{protocol: unix.IPPROTO_UDP, timeout: 115, status: assured}, true},
		{"udp stream, silent", flow{protocol: unix.IPPROTO_UDP, timeout: 100, status: assured}, false},
		{"icmp", flow{protocol: unix.IPPROTO_ICMP, timeout: 29}, false},
	}
	for _, tt := range tests {
		if got := isLive(tt.flow, timeouts); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestFlowsTo asks the kernel for the flows of one container among others.
func TestFlowsTo(t *testing.T) {
	w := newWorld(t)
	a, b := w.attach("n", "a"), w.attach("n", "b")
	for _, e := range []Endpoint{a, b} {
		w.serve(e, "x", 80)
		c, err := dial(w.client, "tcp", netip.AddrPortFrom(e.Address, 80).String())
		if err == nil {
			c.Close()
			t.Error("the outside reaches a container directly")
		}
		c, err = dial(host, "tcp", netip.AddrPortFrom(e.Address, 80).String())
		w.must(err)
		defer c.Close()
	}
	flows, err := flowsTo(a.Address)
	w.must(err)
	if len(flows) != 1 || flows[0].server != netip.AddrPortFrom(a.Address, 80) || flows[0].from.Addr() != a.Gateway || flows[0].protocol != unix.IPPROTO_TCP {
		t.Errorf("%+v", flows)
	}
	if live, err := w.Drained(t.Context(), a.Address); live != 0 || err != nil {
		t.Errorf("a check of the host counts: %d, %v", live, err)
	}
}

func FuzzParseFlow(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 8, 0, 1, 128, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, ok := parseFlow(b); ok && (!got.server.Addr().Is4() || len(got.original) == 0) {
			t.Errorf("%+v", got)
		}
	})
}
