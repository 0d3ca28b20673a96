package network

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestMetadataIsAskedFor has two containers reach for a cloud's metadata at a
// link-local address: only the one that may does, also after a restart of the
// agent. The cloud's nameserver there answers both.
func TestMetadataIsAskedFor(t *testing.T) {
	w := newWorld(t)
	cloud := netip.MustParseAddr("169.254.169.254")
	w.must(inNamespace(w.client, func() error { return address("wire1", cloud) }))
	wire, err := netlink.LinkByName("wire0")
	w.must(err)
	w.must(netlink.RouteAdd(&netlink.Route{LinkIndex: wire.Attrs().Index, Dst: ipNet(netip.PrefixFrom(cloud, 32))}))
	for _, port := range []string{":80", ":53"} {
		var l net.Listener
		w.must(inNamespace(w.client, func() (err error) { l, err = net.Listen("tcp4", port); return err }))
		done := make(chan error, 1)
		go func() { done <- serveTCP(l, "cloud") }()
		t.Cleanup(func() { l.Close(); <-done })
	}
	may, mayNot := w.from(w.attach("shop-prod", "may")), w.from(w.attach("shop-prod", "mayNot"))
	w.must(w.AllowMetadata(t.Context(), "may"))
	check := func(when string) {
		t.Helper()
		if id, _, err := ask(may, "tcp", "169.254.169.254:80"); id != "cloud" {
			t.Errorf("%s: the one that may: %q, %v", when, id, err)
		}
		if id, _, err := ask(mayNot, "tcp", "169.254.169.254:80"); !errors.Is(err, errRefused) {
			t.Errorf("%s: the other one: %q, %v; want a refusal", when, id, err)
		}
		if id, _, err := ask(mayNot, "tcp", "169.254.169.254:53"); id != "cloud" {
			t.Errorf("%s: a nameserver of the cloud: %q, %v", when, id, err)
		}
	}
	check("at once")
	w.reopen()
	check("after a restart of the agent")
	w.must(w.Detach(t.Context(), "may"))
	if len(layoutOf(w.state).metadata) != 0 {
		t.Error("the address of one that has gone may still reach it")
	}
}
