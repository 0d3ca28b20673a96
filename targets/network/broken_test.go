package network

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestABridgeThatCannotBeMade opens over a state with a network whose bridge
// can't be made: the other network works on, and Verify tells what is broken.
func TestABridgeThatCannotBeMade(t *testing.T) {
	w := newWorld(t)
	end := w.attach("shop-prod", "web")
	w.serve(end, "web", 80)
	w.set(web(end))
	w.must(w.Ensure(t.Context(), "shop-test"))
	w.must(w.Networks.Close())
	path := filepath.Join(w.config.Dir, "network.json")
	text, err := os.ReadFile(path)
	w.must(err)
	var s state
	w.must(json.Unmarshal(text, &s))
	s.Networks["shop-test"].Bridge = "dray-longer-than-a-name-may-be"
	text, err = json.Marshal(s)
	w.must(err)
	w.must(os.WriteFile(path, text, 0o600))
	w.Networks, err = Open(w.config)
	w.must(err)
	if id, _, err := ask(w.client, "tcp", published); id != "web" {
		t.Errorf("the network beside it: %q, %v", id, err)
	}
	if _, err := w.Attach(context.Background(), "shop-prod", "another"); err != nil {
		t.Errorf("attaching to the network beside it: %v", err)
	}
	if err := w.Verify("shop-prod"); err != nil {
		t.Errorf("the network beside it: %v", err)
	}
	if err := w.Verify("shop-test"); err == nil {
		t.Error("the broken network is not told of")
	}
	if whole, err := w.repair(); whole || err != nil {
		t.Errorf("repair = %v, %v; want that it is not whole", whole, err)
	}
}
