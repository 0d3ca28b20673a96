package network

import (
	"testing"

	"github.com/google/nftables"
)

// TestVerifyFindsAndMends takes parts of the rules away behind the state's
// back, one at a time: each is put back.
func TestVerifyFindsAndMends(t *testing.T) {
	w := newWorld(t)
	end := w.attach("shop-prod", "web")
	w.serve(end, "web", 80)
	w.set(web(end))
	if err := w.Verify("shop-prod"); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	tcp := listener{Protocol: "tcp", Number: 8000}
	for name, harm := range map[string]func(tx *transaction){
		"a published port": func(tx *transaction) { tx.remove(tx.published, listenerBytes(tcp)) },
		"a held port":      func(tx *transaction) { tx.remove(tx.ports, listenerBytes(tcp)) },
		"a container":      func(tx *transaction) { tx.removeAddress(end.Address) },
		"a service's chain": func(tx *transaction) {
			tx.conn.FlushChain(&nftables.Chain{Name: "shop-prod/web/tcp/8000", Table: tx.t})
		},
		"a service's target": func(tx *transaction) { tx.conn.FlushChain(&nftables.Chain{Name: "shop-prod/web", Table: tx.t}) },
	} {
		t.Run(name, func(t *testing.T) {
			tx := w.begin()
			harm(tx)
			w.must(tx.commit())
			w.mu.Lock()
			differs, err := w.compare("shop-prod")
			w.mu.Unlock()
			if err != nil || differs == nil {
				t.Fatalf("compare = %v, %v; want what was harmed", differs, err)
			}
			if err := w.Verify("shop-prod"); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if id, _, err := ask(w.client, "tcp", published); id != "web" {
				t.Errorf("asking %s: %q, %v", published, id, err)
			}
		})
	}
}

// TestPublishElsewhere moves a port from one number to another while the
// container stays: the new one answers and the old one refuses at once.
func TestPublishElsewhere(t *testing.T) {
	w := newWorld(t)
	end := w.attach("shop-prod", "web")
	w.serve(end, "web", 80)
	w.set(web(end))
	moved := web(end)
	moved.Ports = []Port{{Protocol: "tcp", To: 80, Publish: 8001}}
	w.must(w.Reserve(t.Context(), "shop-prod", "web", moved.Ports))
	w.set(moved)
	w.must(w.Verify("shop-prod"))
	if id, _, err := ask(w.client, "tcp", "192.0.2.1:8001"); id != "web" {
		t.Errorf("the new port: %q, %v", id, err)
	}
	if id, _, err := ask(w.client, "tcp", published); err == nil {
		t.Errorf("the old port still answers: %q", id)
	}
	w.must(w.Release(t.Context(), "shop-prod", []Service{moved}))
	if _, held := w.held[listener{Protocol: "tcp", Number: 8000}]; held {
		t.Error("the old port is still held")
	}
}
