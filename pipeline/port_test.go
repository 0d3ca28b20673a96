package pipeline

import (
	"slices"
	"testing"
)

func TestPortsOverlap(t *testing.T) {
	all := Port{Publish: 80, Protocol: "tcp"}
	inner := Port{Publish: 80, Protocol: "tcp", Address: []string{"127.0.0.1"}}
	office := Port{Publish: 80, Protocol: "tcp", Address: []string{"10.0.0.5", "wg0"}}
	udp := Port{Publish: 80, Protocol: "udp"}
	for _, c := range []struct {
		a, b Port
		want bool
	}{
		{all, all, true}, {all, inner, true}, {office, all, true}, {inner, inner, true},
		{inner, office, false}, {all, udp, false}, {Port{Protocol: "tcp"}, Port{Protocol: "tcp"}, false},
	} {
		if got := c.a.Overlaps(c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a.Published(), c.b.Published(), got)
		}
	}
	for want, p := range map[string]Port{"*": all, "": inner, "10.0.0.5": office} {
		if got := p.Outside(); want == "" && len(got) > 0 || want != "" && !slices.Contains(got, want) {
			t.Errorf("%s is reached from outside at %v, want %q", p.Published(), got, want)
		}
	}
}

// TestReachIsNoNewContainer: where a port is published, and for whom, changes
// without a restart.
func TestReachIsNoNewContainer(t *testing.T) {
	r := &Release{Services: []Service{{Name: "web", Ports: []Port{{Name: "http", To: 80, Publish: 80, Protocol: "tcp"}}}}}
	before := r.ContainerFingerprint("web")
	r.Services[0].Ports[0].Address, r.Services[0].Ports[0].From = []string{"127.0.0.1"}, []string{"10.0.0.0/8"}
	if r.ContainerFingerprint("web") != before {
		t.Error("a container depends on where its port is published")
	}
}
