package ui

import (
	"strings"
	"testing"
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
