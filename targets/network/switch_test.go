package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// web is a service published on tcp and udp 8000.
func web(backends ...Endpoint) Service {
	s := Service{Network: "shop-prod", Name: "web", Ports: []Port{{Protocol: "tcp", To: 80, Publish: 8000}, {Protocol: "udp", To: 80, Publish: 8000}}}
	for _, e := range backends {
		s.Backends = append(s.Backends, Backend{Address: e.Address})
	}
	return s
}

const published = "192.0.2.1:8000"

// TestSwitchLosesNothing asks all the time while the service moves to and fro,
// and is adopted by a new agent in between.
func TestSwitchLosesNothing(t *testing.T) {
	w := newWorld(t)
	ends := []Endpoint{w.attach("shop-prod", "old"), w.attach("shop-prod", "new")}
	w.serve(ends[0], "old", 80)
	w.serve(ends[1], "new", 80)
	w.set(web(ends[0]))

	var asked, answered [2]atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var g errgroup.Group
	for i, network := range []string{"tcp", "udp", "tcp", "udp"} {
		g.Go(func() error {
			for ctx.Err() == nil {
				asked[i%2].Add(1)
				id, _, err := ask(w.client, network, published)
				if err != nil {
					return fmt.Errorf("%s, request %d: %w", network, asked[i%2].Load(), err)
				}
				if id == "old" || id == "new" {
					answered[i%2].Add(1)
				}
			}
			return nil
		})
	}
	start := time.Now()
	var took time.Duration
	const rounds = 60
	for i := range rounds {
		begin := time.Now()
		w.set(web(ends[(i+1)%2]))
		took += time.Since(begin)
		if i%10 == 9 {
			w.reopen()
		}
		for until := asked[0].Load() + 8; asked[0].Load() < until && ctx.Err() == nil; {
			_, _, err := ask(w.client, "tcp", published)
			if err != nil {
				t.Error(err)
				stop()
			}
		}
	}
	elapsed := time.Since(start)
	stop()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for i := range asked {
		if asked[i].Load() != answered[i].Load() {
			t.Errorf("%d of %d answered", answered[i].Load(), asked[i].Load())
		}
	}
	t.Logf("%d switches, %v each; %.0f TCP and %.0f UDP requests a second", rounds, took/rounds,
		float64(asked[0].Load())/elapsed.Seconds(), float64(asked[1].Load())/elapsed.Seconds())
}

func TestLongConnectionsStay(t *testing.T) {
	for _, filter := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables="+filter, func(t *testing.T) {
			bridgeFilter(t, filter)
			w := newWorld(t)
			old, now := w.attach("shop-prod", "old"), w.attach("shop-prod", "new")
			peer := w.attach("shop-prod", "peer")
			w.serve(old, "old", 80)
			w.serve(now, "new", 80)
			w.set(web(old))
			vip := w.Hosts("shop-prod")[0].Address.String()
			conns := map[string]net.Conn{}
			for name, from := range map[string]struct {
				ns int
				to string
			}{
				"outside":   {w.client, published},
				"loopback":  {host, "127.0.0.1:8000"},
				"container": {w.from(peer), vip + ":80"},
			} {
				c, err := dial(from.ns, "tcp", from.to)
				w.must(err)
				defer c.Close()
				if id, _, err := greeting(c); id != "old" {
					t.Fatalf("%s: %q, %v", name, id, err)
				}
				conns[name] = c
			}
			if live, err := w.Drained(t.Context(), old.Address); live != 3 || err != nil {
				t.Errorf("%d live connections to the old container (%v), want 3", live, err)
			}
			w.set(web(now))
			w.reopen()
			if id, _, err := ask(w.client, "tcp", published); id != "new" {
				t.Errorf("a new connection gets %q, %v", id, err)
			}
			for name, c := range conns {
				if err := echo(c); err != nil {
					t.Errorf("%s: the connection was cut: %v", name, err)
				}
			}
			testDrain(t, w, old, conns)
		})
	}
}

// testDrain closes the connections and waits until the container has none.
func testDrain(t *testing.T, w *world, old Endpoint, conns map[string]net.Conn) {
	left, err := w.WaitDrained(t.Context(), []netip.Addr{old.Address}, time.Now().Add(50*time.Millisecond))
	if left != 3 || err != nil {
		t.Errorf("at the deadline %d are left (%v), want 3", left, err)
	}
	var g errgroup.Group
	g.Go(func() error {
		left, err := w.WaitDrained(t.Context(), []netip.Addr{old.Address}, time.Now().Add(5*time.Second))
		if left != 0 {
			return fmt.Errorf("%d are left, %w", left, err)
		}
		return err
	})
	for _, c := range conns {
		c.Close()
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// bridgeFilter sets whether bridged packets pass the IP chains: as without and
// as with br_netfilter.
func bridgeFilter(t *testing.T, value string) {
	const path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		t.Skip("no br_netfilter in this kernel: ", err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
			t.Error(err)
		}
	})
}

func echo(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "still there\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "still there\n" {
		err = fmt.Errorf("got %q", line)
	}
	return err
}

func TestBalance(t *testing.T) {
	w := newWorld(t)
	var ends []Endpoint
	for i := range 3 {
		id := fmt.Sprintf("web%d", i)
		e := w.attach("shop-prod", id)
		w.serve(e, id, 80)
		ends = append(ends, e)
	}
	peer := w.attach("shop-prod", "peer")
	w.set(web(ends...))
	vip := w.Hosts("shop-prod")[0].Address.String()
	count := func(ns int, network, to string, requests int) map[string]int {
		got := map[string]int{}
		for range requests {
			id, _, err := ask(ns, network, to)
			w.must(err)
			got[id]++
		}
		return got
	}
	for name, got := range map[string]map[string]int{
		"tcp":     count(w.client, "tcp", published, 30),
		"udp":     count(w.client, "udp", published, 30),
		"service": count(w.from(peer), "tcp", vip+":80", 30),
	} {
		for i := range 3 {
			if n := got[fmt.Sprintf("web%d", i)]; n < 8 || n > 12 {
				t.Errorf("%s: uneven: %v", name, got)
			}
		}
	}
	w.set(web(ends[0], ends[2])) // the second turned unhealthy
	if got := count(w.client, "tcp", published, 20); got["web1"] != 0 {
		t.Errorf("one that is out of rotation gets connections: %v", got)
	}
	w.set(web(ends...))
	if got := count(w.client, "tcp", published, 30); got["web1"] == 0 {
		t.Errorf("one that came back gets none: %v", got)
	}
}

func TestBackendsWithDifferentPorts(t *testing.T) {
	w := newWorld(t)
	old, now := w.attach("shop-prod", "old"), w.attach("shop-prod", "new")
	w.serve(old, "old", 80)
	w.serve(now, "new", 8080)
	s := web(old, now)
	s.Backends[1].Ports = []Port{{Protocol: "tcp", To: 8080, Publish: 8000}}
	w.set(s)
	got := map[string]int{}
	for range 10 {
		id, _, err := ask(w.client, "tcp", published)
		w.must(err)
		got[id]++
	}
	if got["old"] != 5 || got["new"] != 5 {
		t.Errorf("%v, want 5 each", got)
	}
}

// TestUDPFlows: a flow stays with its container over a switch, moves on when
// it is cut, and one that began when nothing served does not stick.
func TestUDPFlows(t *testing.T) {
	w := newWorld(t)
	old, now := w.attach("shop-prod", "old"), w.attach("shop-prod", "new")
	w.serve(old, "old", 80)
	w.serve(now, "new", 80)

	early, err := dial(w.client, "udp", published)
	w.must(err)
	defer early.Close()
	if _, _, err := greeting(early); err == nil {
		t.Error("answered before anything serves")
	}
	w.must(w.Reserve(t.Context(), "shop-prod", "web", web().Ports))
	if _, _, err := greeting(early); !errors.Is(err, errRefused) {
		t.Errorf("a reserved port: %v, want refused", err)
	}
	w.set(web(old))
	if id, _, err := greeting(early); id != "old" {
		t.Errorf("a flow that began before anything served: %q, %v", id, err)
	}
	w.set(web(now))
	if id, _, err := greeting(early); id != "old" {
		t.Errorf("after the switch: %q, %v, want the old one", id, err)
	}
	if live, err := w.Drained(t.Context(), old.Address); live != 1 || err != nil {
		t.Errorf("%d live flows, %v; want 1", live, err)
	}
	w.must(w.Cut(t.Context(), old.Address))
	if id, _, err := greeting(early); id != "new" {
		t.Errorf("after the cut: %q, %v, want the new one", id, err)
	}
}

func TestServiceWithoutBackends(t *testing.T) {
	w := newWorld(t)
	peer := w.attach("shop-prod", "peer")
	w.must(w.Declare(t.Context(), "shop-prod", "db", "web"))
	w.set(web())
	vip := w.Hosts("shop-prod")[1].Address.String()
	for _, to := range []struct {
		ns      int
		network string
		address string
	}{{w.client, "tcp", published}, {host, "tcp", "127.0.0.1:8000"}, {w.from(peer), "tcp", vip + ":80"}, {w.from(peer), "udp", vip + ":80"}} {
		start := time.Now()
		if _, _, err := ask(to.ns, to.network, to.address); !errors.Is(err, errRefused) || time.Since(start) > time.Second {
			t.Errorf("%s %s: %v after %v, want refused at once", to.network, to.address, err, time.Since(start))
		}
	}
}
