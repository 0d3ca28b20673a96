package network

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
)

func TestReserve(t *testing.T) {
	for _, protocol := range []string{"tcp", "udp"} {
		t.Run(protocol, func(t *testing.T) {
			w := newWorld(t)
			ports := []Port{{Protocol: protocol, To: 80, Publish: 8001}, {Protocol: protocol, To: 80, Publish: 8000}}
			close := occupy(t, protocol, "127.0.0.1:8000")
			err := w.Reserve(t.Context(), "shop-prod", "web", ports)
			var taken *PortTakenError
			if !errors.As(err, &taken) || taken.Port != 8000 || taken.Pid != os.Getpid() || taken.Process == "" {
				t.Fatalf("a port that this process has: %v", err)
			}
			occupy(t, protocol, "0.0.0.0:8001")() // all or none
			close()
			w.must(w.Reserve(t.Context(), "shop-prod", "web", ports))
			w.must(w.Reserve(t.Context(), "shop-prod", "web", ports))
			w.must(w.Reserve(t.Context(), "shop-prod", "other", ports[:1]))
			w.reopen()
			if l, err := listen(protocol, "[::]:8000"); err == nil {
				l()
				t.Error("another process can have a reserved port")
			}
			err = w.Reserve(t.Context(), "shop-test", "web", ports[:1])
			if !errors.As(err, &taken) || taken.Service != (Key{"shop-prod", "web"}) {
				t.Errorf("a port of another network: %v", err)
			}
			w.must(w.Release(t.Context(), "shop-prod", []Service{{Network: "shop-prod", Name: "web", Ports: ports[:1]}}))
			occupy(t, protocol, "0.0.0.0:8000")()
			if _, err := listen(protocol, "0.0.0.0:8001"); err == nil {
				t.Error("a port that is kept can be had")
			}
			w.must(w.Remove(t.Context(), "shop-prod"))
			occupy(t, protocol, "0.0.0.0:8001")()
		})
	}
}

// occupy listens, and returns what ends it.
func occupy(t *testing.T, protocol, address string) func() {
	t.Helper()
	stop, err := listen(protocol, address)
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

func listen(protocol, address string) (func(), error) {
	if protocol == "udp" {
		c, err := net.ListenPacket(protocol, address)
		return func() { c.Close() }, err
	}
	l, err := net.Listen(protocol, address)
	return func() { l.Close() }, err
}

// TestPortStaysHeld: a release without a port that the one before had can go
// back to it.
func TestPortStaysHeld(t *testing.T) {
	w := newWorld(t)
	e := w.attach("shop-prod", "a")
	w.serve(e, "a", 80)
	w.set(web(e))
	without := web(e)
	without.Ports = nil
	w.set(without)
	if _, _, err := ask(w.client, "tcp", published); !errors.Is(err, errRefused) {
		t.Errorf("a port that is not published any more: %v", err)
	}
	if _, err := listen("tcp", "0.0.0.0:8000"); err == nil {
		t.Error("it can be taken before it is released")
	}
	w.set(web(e))
	if id, _, err := ask(w.client, "tcp", published); id != "a" {
		t.Errorf("published again: %q, %v", id, err)
	}
	other := Service{Network: "shop-prod", Name: "front", Ports: web().Ports, Backends: web(e).Backends}
	w.must(w.Switch(t.Context(), Change{Set: []Service{without, other}}))
	if id, _, err := ask(w.client, "tcp", published); id != "a" {
		t.Errorf("moved to another service: %q, %v", id, err)
	}
	w.must(w.Switch(t.Context(), Change{Set: []Service{web(e)}, Remove: []Key{other.Key()}}))
	if id, _, err := ask(w.client, "tcp", published); id != "a" {
		t.Errorf("moved back: %q, %v", id, err)
	}
}

func FuzzReadSockets(f *testing.F) {
	f.Add("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range readSockets(strings.NewReader(s)) {
			if k.inode == "" {
				t.Error("a socket without an inode")
			}
		}
	})
}
