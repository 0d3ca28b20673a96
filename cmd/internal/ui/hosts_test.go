package ui

import (
	"strings"
	"testing"

	"dray/targets/api"
)

// Several hosts that can't be used have their own ways out.
func TestHostsEachSayWhatHelps(t *testing.T) {
	one := []HostReport{{Name: "p1", Error: "p1: no route", Next: "fix the route"}, {Name: "p2", Absent: true}}
	var b strings.Builder
	if err := PrintHosts(&b, one); err != nil || strings.Contains(b.String(), "fix the route") {
		t.Errorf("one alone is said at the end: %v\n%s", err, b.String())
	}
	b.Reset()
	if err := PrintHosts(&b, append(one, HostReport{Name: "p3", Error: "p3: wrong key", Next: "dray host trust p3"})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"✗ p1: no route\n  Next: fix the route\n", "✗ p3: wrong key\n  Next: dray host trust p3\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("misses %q:\n%s", want, b.String())
		}
	}
}

// TestHostsSayWhatPassesTheFirewall: a firewall is named with the ports that it
// does not stop, and nothing is said where there is none.
func TestHostsSayWhatPassesTheFirewall(t *testing.T) {
	open := []api.Open{{Port: "80/tcp", Network: "shop-prod", Service: "web"},
		{Port: "5432/tcp", Address: "10.0.0.5", From: []string{"10.0.0.0/8"}, Network: "shop-prod", Service: "db"}}
	var b strings.Builder
	if err := PrintHosts(&b, []HostReport{{Name: "p1", Host: &api.Host{Firewall: "ufw", Open: open}}, {Name: "p2", Host: &api.Host{Open: open}}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"! p1: its firewall (ufw)", "80/tcp   web of shop-prod, from everywhere", "5432/tcp at 10.0.0.5   db of shop-prod, from 10.0.0.0/8"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("misses %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "! p2") {
		t.Errorf("a firewall where there is none:\n%s", b.String())
	}
}
